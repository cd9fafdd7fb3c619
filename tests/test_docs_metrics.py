"""docs/metrics.md, the dashboard and the alert rules name metrics and labels that the service exposes, and no others.

The expressions are only parsed and compared with a live scrape; no Prometheus evaluates them.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.running import chaser, service, settings, until
from tests.scraping import scrape

DOCS = Path(__file__).parent.parent / "docs"
DASHBOARD: dict[str, Any] = json.loads((DOCS / "grafana.json").read_text(encoding="utf-8"))
ALERTS = (DOCS / "alerts.yml").read_text(encoding="utf-8")
PAGE = (DOCS / "metrics.md").read_text(encoding="utf-8")

NAME = r"(?:chaser_callback|process|python)_\w+"
SCRAPED = {"job", "instance"}
"""Labels that Prometheus adds."""


def expressions() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            query = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["definition"])
            assert query
            yield f"max by ({query[2]}) ({query[1]})"
    yield from re.findall(r"^ +expr: (.+)$", ALERTS, re.MULTILINE)


EXPRESSIONS = list(expressions())


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The labels of each metric, after an accepted, a placed and a refused request."""
    with chaser() as simulator, service(settings(tmp_path_factory.mktemp("docs"), simulator.api_url)) as running:
        running.wait_for(running.accepted(), "placed")
        assert running.ask(client_phone="112").status_code == 422
        until(lambda: scrape(running)['chaser_callback_placed_total{site="shop"}'] == 1)
        scraped = scrape(running)
    names: dict[str, set[str]] = {}
    for series in scraped:
        name, _, labels = series.partition("{")
        names.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return names


def test_there_are_expressions_to_check() -> None:
    assert len(EXPRESSIONS) > 20
    assert ALERTS.count("- alert:") == ALERTS.count("expr:")


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_uses_existing_metrics_and_labels(expression: str, exposed: dict[str, set[str]]) -> None:
    assert all(expression.count(opening) == expression.count(closing) for opening, closing in ("()", "{}", "[]"))
    assert expression.count('"') % 2 == 0
    names = re.findall(NAME, expression)
    assert names
    for name in names:
        assert name in exposed
    for name, selector in re.findall(rf"({NAME})\{{(.*?)\}}", expression):
        labels = set(re.findall(r'(\w+)(?:=~|!~|!=|=)"', selector))
        assert labels <= exposed[name] | SCRAPED
    for grouping in re.findall(r"by \((.*?)\)", expression):
        assert set(grouping.split(", ")) <= set().union(*(exposed[name] for name in names)) | SCRAPED
    for name in names:
        # The plain value of a counter is useless: it restarts at 0 with each process.
        is_counter = name.endswith(("_total", "_bucket", "_count", "_sum"))
        assert is_counter == bool(re.search(rf"(rate|increase)\({name}\b", expression))


def test_every_label_value_in_an_expression_exists() -> None:
    values = {
        value
        for each in EXPRESSIONS
        for alternatives in re.findall(r'(?:status|result|code)(?:=~|!=|=)"(.*?)"', each)
        for value in alternatives.split("|")
    }
    assert values <= {"queued", "unknown", "held", "new", "quota_site", "storage_unavailable", "internal"}


def test_the_page_lists_every_metric_with_its_labels_and_no_others(exposed: dict[str, set[str]]) -> None:
    documented = {
        name: set(filter(None, labels.split(",")))
        for name, labels in re.findall(r"^\| `(chaser_\w+)(?:\{(.*?)\})?`", PAGE, re.MULTILINE)
    }
    existing = {
        re.sub("_seconds_(bucket|count|sum)$", "_seconds", name): labels - {"le"}
        for name, labels in exposed.items()
        if name.startswith("chaser_callback")
    }
    assert documented == existing


def test_no_panel_overlaps_another() -> None:
    occupied: set[tuple[int, int]] = set()
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & occupied, panel["title"]
        occupied |= cells
