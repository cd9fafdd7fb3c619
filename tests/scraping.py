"""Reads what GET /metrics tells."""

from collections import Counter

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from tests.running import AUTHORIZED, Service


class Told(Counter[str]):
    """Values by name and labels as Prometheus writes them, labels in the order of their names; 0 for what isn't there.

    `told - before` leaves what has grown since.
    """

    def labels(self, name: str) -> set[str]:
        """Give the series of one name, without the name."""
        return {series.removeprefix(name) for series in self if series.partition("{")[0] == name}


def read(answer: httpx2.Response) -> Told:
    """Parse an answer."""
    assert answer.status_code == 200, answer.text
    found = Told()
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            series = f"{sample.name}{{{labels}}}" if labels else sample.name
            assert series not in found, "told twice"
            found[series] = sample.value  # type: ignore[assignment]
    return found


def scrape(here: Service) -> Told:
    """Ask as Prometheus does, with a key."""
    return read(here.http.get("/metrics", headers=AUTHORIZED))


def grown(here: Service, before: Told) -> dict[str, float]:
    """Give what our counters have counted since, the key's own requests included."""
    now = scrape(here)
    return {
        series.removeprefix("chaser_callback_"): value - before[series]
        for series, value in now.items()
        if series.startswith("chaser_callback_") and "_total" in series and value != before[series]
    }
