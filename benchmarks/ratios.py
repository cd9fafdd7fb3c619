"""The rates of two commits side by side: medians, spreads, ratios, and the tables of them."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.scenarios import REPLICAS, WITH_DELAY, Scenario
from benchmarks.tables import table


@dataclass(frozen=True, slots=True)
class Rates:
    """The accepted requests per second of several runs, and the number of unexpected answers in all of them."""

    runs: Sequence[float]
    unexpected: int = 0

    @property
    def median(self) -> float:
        """The median of the runs."""
        return statistics.median(self.runs)

    def __str__(self) -> str:
        unexpected = f" ({self.unexpected} unexpected)" if self.unexpected else ""
        return f"{self.median:,.0f} ({min(self.runs):,.0f} to {max(self.runs):,.0f}){unexpected}"


@dataclass(frozen=True, slots=True)
class Ratio:
    """The ratio of two medians, and the ratios that the spreads of both allow."""

    title: str
    median: float
    lowest: float
    highest: float

    @property
    def verdict(self) -> str:
        """Whether the difference is beyond the spread of the runs."""
        if self.lowest > 1:
            return "faster"
        return "**slower**" if self.highest < 1 else "within the spread"


Measured = dict[Scenario, tuple[Rates, Rates]]
"""The rates of the old and the new commit."""


def ratio(title: str, rates: Rates, base: Rates) -> Ratio:
    """Return the ratio of the rates to those of `base`."""
    lowest, highest = min(rates.runs) / max(base.runs), max(rates.runs) / min(base.runs)
    return Ratio(title, rates.median / base.median, lowest, highest)


def ratios(measured: Measured) -> Iterator[Ratio]:
    """Yield new against old for each scenario, and three replicas against one, old and new."""
    for scenario, (old, new) in measured.items():
        yield ratio(f"{scenario.title}: new / old", new, old)
    for name, three, one in zip(("old", "new"), measured[REPLICAS], measured[WITH_DELAY], strict=True):
        yield ratio(f"{name}: {REPLICAS.title} / {WITH_DELAY.title}", three, one)


def comparison_tables(measured: Measured, old: str, new: str) -> str:
    """Return both tables in Markdown. `old` and `new` are the names of the commits."""
    rates = ([scenario.title, *map(str, both)] for scenario, both in measured.items())
    rows = (
        [each.title, f"{each.median:.2f}", f"{each.lowest:.2f} to {each.highest:.2f}", each.verdict]
        for each in ratios(measured)
    )
    return (
        table(("accepted per second: median (spread)", f"old, {old}", f"new, {new}"), rates)
        + "\n\n"
        + table(("", "ratio", "spread", ""), rows)
    )


def as_json(measured: Measured, old: str, new: str, facts: dict[str, Any]) -> dict[str, Any]:
    """Return all figures as JSON values. `facts`: further values of the run."""
    return facts | {
        "old": old,
        "new": new,
        "accepted_per_second": {
            scenario.title: {
                name: {"median": rates.median, "runs": list(rates.runs), "unexpected": rates.unexpected}
                for name, rates in zip(("old", "new"), both, strict=True)
            }
            for scenario, both in measured.items()
        },
        "ratios": {
            each.title: {"median": each.median, "lowest": each.lowest, "highest": each.highest}
            for each in ratios(measured)
        },
    }
