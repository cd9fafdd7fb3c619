"""The comparison with an older commit: settings of each checkout, ratios and tables. `make bench COMPARE=` measures."""

import json
import sqlite3
import sys
import tomllib
from pathlib import Path

import pytest

from app.settings import Settings
from benchmarks.checkouts import Checkout, raised_quota
from benchmarks.dose import CONNECTIONS
from benchmarks.load import connections_of_each
from benchmarks.processes import ROOT
from benchmarks.ratios import Measured, Rates, as_json, comparison_tables, ratio, ratios
from benchmarks.scenarios import ONE_SITE, REPLICAS, SCENARIOS, SOCKET, SQLITE, WITH_DELAY, count_quiet, through_proxy


def measured() -> Measured:
    rates = {scenario: (Rates([100, 90, 110]), Rates([250, 220, 300])) for scenario in SCENARIOS}
    return rates | {REPLICAS: (Rates([120, 100, 130]), Rates([400, 380, 420], unexpected=7))}


def row(text: str, title: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(f"| {title} |"))


@pytest.mark.parametrize(
    ("default", "raised"),
    [
        ("500/day", "1000000/day"),
        ("100/hour;500/day", "1000000/hour;1000000/day"),
        ("9/5 minutes", "1000000/5 minutes"),
    ],
)
def test_the_raised_quota_keeps_the_windows_of_the_default(default: str, raised: str) -> None:
    page = (
        f"| `SITES__SHOP__QUOTAS__PER_SITE` | | `QUOTAS__PER_SITE` |\n| `QUOTAS__PER_SITE` | `{default}` | Callbacks |"
    )
    assert raised_quota(page) == raised


def test_a_page_without_the_quota_is_an_error() -> None:
    with pytest.raises(ValueError, match="no row for QUOTAS__PER_SITE"):
        raised_quota("| `QUOTAS__PER_PHONE` | `3/hour;5/day` | Callbacks |")


@pytest.mark.parametrize("sites", [1, 400])
def test_this_checkout_accepts_its_settings_of_a_run(sites: int) -> None:
    text = Checkout(ROOT).settings("sqlite:///run.db", "http://127.0.0.1:1/v1/", sites)
    settings = Settings.model_validate(tomllib.loads(text))
    assert len(settings.sites) == sites
    assert not any(site.asks_for_challenge for site in settings.sites.values())


def test_a_checkout_has_the_windows_of_its_own_default(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "settings.md").write_text("| `QUOTAS__PER_SITE` | `7/minute` | Callbacks |")
    text = Checkout(tmp_path).settings("sqlite:///run.db", "http://127.0.0.1:1/v1/", 2)
    assert tomllib.loads(text)["quotas"] == {"per_site": "1000000/minute"}


def test_a_checkout_without_an_interpreter_is_refused_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"make \.make/run"):
        Checkout(tmp_path).verify()


def test_a_checkout_whose_interpreter_runs_another_checkout_is_refused(tmp_path: Path) -> None:
    Checkout(ROOT).verify()
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    with pytest.raises(ValueError, match="another checkout"):
        Checkout(tmp_path).verify()


def test_all_connections_are_distributed_over_the_ports() -> None:
    assert connections_of_each(1) == [CONNECTIONS]
    assert connections_of_each(3) == [11, 11, 10]


def test_the_proxy_replaces_only_the_socket_in_the_url() -> None:
    url = "postgresql+psycopg://postgres:@/run_1?host=/run/postgresql&connect_timeout=3"
    assert through_proxy(url, 20_000) == "postgresql+psycopg://postgres:@127.0.0.1:20000/run_1?connect_timeout=3"


def test_held_and_merged_requests_are_counted_in_the_database(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "run.db") as connection:
        connection.execute("CREATE TABLE callbacks (status TEXT)")
        statuses = ["queued", "held", "placed", "duplicate", "held"]
        connection.executemany("INSERT INTO callbacks VALUES (?)", [(status,) for status in statuses])
    connection.close()
    assert count_quiet(f"sqlite:///{tmp_path / 'run.db'}") == 3


def test_rates_show_median_spread_and_unexpected_answers() -> None:
    assert str(Rates([1200, 900, 1000.4])) == "1,000 (900 to 1,200)"
    assert str(Rates([5, 7], unexpected=2)) == "6 (5 to 7) (2 unexpected)"


@pytest.mark.parametrize(
    ("new", "verdict"),
    [
        ([111, 130], "faster"),
        ([90, 300], "within the spread"),
        ([110, 120], "within the spread"),
        ([80, 89], "**slower**"),
    ],
)
def test_a_ratio_counts_only_beyond_the_spread_of_both(new: list[float], verdict: str) -> None:
    assert ratio("new / old", Rates(new), Rates([90, 100, 110])).verdict == verdict


def test_every_scenario_and_the_replicas_of_both_commits_have_a_ratio() -> None:
    found = {each.title: round(each.median, 2) for each in ratios(measured())}
    expected = {f"{scenario.title}: new / old": 2.5 for scenario in (SOCKET, WITH_DELAY, SQLITE, ONE_SITE)}
    expected[f"{REPLICAS.title}: new / old"] = 3.33
    expected |= {
        f"{name}: {REPLICAS.title} / {WITH_DELAY.title}": value for name, value in (("old", 1.2), ("new", 1.6))
    }
    assert found == expected


def test_the_tables_show_both_commits() -> None:
    text = comparison_tables(measured(), "1a2b3c4", "5d6e7f8, modified")
    assert "| old, 1a2b3c4 | new, 5d6e7f8, modified |" in text
    assert row(text, SOCKET.title).endswith("| 100 (90 to 110) | 250 (220 to 300) |")
    assert row(text, REPLICAS.title).endswith("| 400 (380 to 420) (7 unexpected) |")
    assert row(text, f"{SOCKET.title}: new / old").endswith("| 2.50 | 2.00 to 3.33 | faster |")


def test_the_figures_are_json() -> None:
    figures = json.loads(json.dumps(as_json(measured(), "1a2b3c4", "5d6e7f8", {"connections": 32})))
    assert figures["connections"] == 32
    assert figures["accepted_per_second"][REPLICAS.title]["new"] == {
        "median": 400,
        "runs": [400, 380, 420],
        "unexpected": 7,
    }
    assert figures["ratios"][f"{SQLITE.title}: new / old"]["median"] == 2.5
