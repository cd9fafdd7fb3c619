"""docs/metrics.md, the dashboard and the alert rules name metrics and labels that the service exposes, and no other.

That each expression gives data was seen with a real Prometheus; here they are read, and held against a live scrape.
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
"""Labels that Prometheus puts on."""


def expressions() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["definition"])
            assert found
            yield f"max by ({found[2]}) ({found[1]})"
    yield from re.findall(r"^ +expr: (.+)$", ALERTS, re.MULTILINE)


EXPRESSIONS = list(expressions())


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The labels of each metric, after a life with a bit of everything."""
    with chaser() as far_side, service(settings(tmp_path_factory.mktemp("docs"), far_side.api_url)) as here:
        here.wait_for(here.accepted(), "placed")
        assert here.ask(client_phone="112").status_code == 422
        until(lambda: scrape(here)['chaser_callback_placed_total{site="shop"}'] == 1)
        told = scrape(here)
    names: dict[str, set[str]] = {}
    for series in told:
        name, _, labels = series.partition("{")
        names.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return names


def test_there_are_expressions_to_look_at() -> None:
    assert len(EXPRESSIONS) > 20
    assert ALERTS.count("- alert:") == ALERTS.count("expr:")


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_asks_for_what_there_is(expression: str, exposed: dict[str, set[str]]) -> None:
    assert all(expression.count(opening) == expression.count(closing) for opening, closing in ("()", "{}", "[]"))
    assert expression.count('"') % 2 == 0
    names = re.findall(NAME, expression)
    assert names
    for name in names:
        assert name in exposed
    for name, selector in re.findall(rf"({NAME})\{{(.*?)\}}", expression):
        asked = set(re.findall(r'(\w+)(?:=~|!~|!=|=)"', selector))
        assert asked <= exposed[name] | SCRAPED
    for grouping in re.findall(r"by \((.*?)\)", expression):
        assert set(grouping.split(", ")) <= set().union(*(exposed[name] for name in names)) | SCRAPED
    for name in names:
        # A counter's value alone says nothing: it begins anew with each process.
        counts = name.endswith(("_total", "_bucket", "_count", "_sum"))
        assert counts == bool(re.search(rf"(rate|increase)\({name}\b", expression))


def test_every_value_asked_for_is_one_that_there_is() -> None:
    values = {
        value
        for each in EXPRESSIONS
        for found in re.findall(r'(?:state|result|code)(?:=~|!=|=)"(.*?)"', each)
        for value in found.split("|")
    }
    assert values <= {"queued", "unknown", "held", "new", "quota_site", "storage_unavailable", "internal"}


def test_the_page_tells_of_every_metric_and_its_labels_and_of_no_other(exposed: dict[str, set[str]]) -> None:
    told = {
        name: set(filter(None, labels.split(",")))
        for name, labels in re.findall(r"^\| `(chaser_\w+)(?:\{(.*?)\})?`", PAGE, re.MULTILINE)
    }
    bare = {
        re.sub("_seconds_(bucket|count|sum)$", "_seconds", name): labels - {"le"}
        for name, labels in exposed.items()
        if name.startswith("chaser_callback")
    }
    assert told == bare


def test_no_panel_lies_over_another() -> None:
    places: set[tuple[int, int]] = set()
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & places, panel["title"]
        places |= cells
