"""`chaser-callback statistics` and `websites` against the simulator."""

import asyncio
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.chaser import Call, ChaserClient
from app.simulator.options import DEMO_CLIENT_ID, DEMO_PRIVATE_KEY, DEMO_SITE_ID, Account, Options, Site
from tests.cli.conftest import Terminal
from tests.running import NOBODY, Chaser, chaser, values

DAYS = {"2026-11-20": ("success", "failed"), "2026-11-23": ("success", "success", "success")}


async def make_calls(far_side: Chaser) -> None:
    """Make the calls of DAYS, at noon in Moscow."""
    async with ChaserClient(DEMO_CLIENT_ID, DEMO_PRIVATE_KEY, api_url=far_side.api_url) as client:
        for day, results in DAYS.items():
            far_side.http.post("clock", json={"now": f"{day}T09:00:00+00:00"}).raise_for_status()
            for number, result in enumerate(results):
                far_side.http.post("results", json={"result": result, "times": 1}).raise_for_status()
                await client.call(Call(site_id=int(DEMO_SITE_ID), client_phone=f"7916000000{number}"))
            far_side.http.post("clock", json={"advance": 3600}).raise_for_status()


@pytest.fixture(scope="module")
def busy() -> Iterator[Chaser]:
    """A Chaser with calls on two days."""
    with chaser() as far_side:
        asyncio.run(make_calls(far_side))
        yield far_side


@pytest.fixture(scope="module")
def at_chaser(busy: Chaser, tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    """A terminal without a running service."""
    return Terminal(values(tmp_path_factory.mktemp("statistics"), busy.api_url))


def test_the_columns_are_the_fields_that_chaser_sends(at_chaser: Terminal) -> None:
    ended = at_chaser.run("statistics", "--from", "2026-11-23")
    assert (ended.returncode, ended.stderr) == (0, "")
    titles, *rows = [line.split("\t") for line in ended.stdout.splitlines()]
    assert titles == ["id", "site_id", "client_phone", "manager_phone", "date", "status"]
    assert [(row[4], row[5]) for row in rows] == [("23-11-2026 12:00:00", "success")] * 3


def test_json_and_csv_hold_what_the_table_shows(at_chaser: Terminal) -> None:
    items = json.loads(at_chaser.run("statistics", "--json", "--filter", "failed_calls").stdout)
    assert [item["status"] for item in items] == ["failed"]
    rows = list(csv.DictReader(at_chaser.run("statistics", "--csv", "--site", "shop").stdout.splitlines()))
    assert [row["status"] for row in rows] == [result for results in DAYS.values() for result in results]


def test_the_plot_behind_a_pipe_has_a_line_for_every_day(at_chaser: Terminal) -> None:
    ended = at_chaser.run("statistics", "--plot", "--to", "2026-11-24")
    days = ["2026-11-20\t1\t1", "2026-11-21\t0\t0", "2026-11-22\t0\t0", "2026-11-23\t3\t0", "2026-11-24\t0\t0"]
    assert ended.stdout.splitlines() == days


@pytest.mark.parametrize("columns", [80, 120])
def test_the_plot_at_a_terminal_fits_and_distinguishes_success_and_failure_without_colours(
    at_chaser: Terminal, columns: int
) -> None:
    code, output = at_chaser.run_at_terminal("statistics", "--plot", columns=columns)
    lines = output.splitlines()
    assert (code, max(map(len, lines)) <= columns) == (0, True)
    friday = next(line for line in lines if line.startswith("2026-11-20 Fri"))
    monday = next(line for line in lines if line.startswith("2026-11-23 Mon"))
    assert friday.split()[-2:] == ["1", "1"]
    assert friday.count("█") == friday.count("▒") > 0
    assert monday.count("█") > columns / 2
    assert "▒" not in monday
    assert lines[-1].split() == ["all", "4", "1"]


def test_the_sites_at_chaser_are_listed_with_their_names_in_the_settings(at_chaser: Terminal) -> None:
    titles, row = [line.split("\t") for line in at_chaser.run("websites").stdout.splitlines()]
    assert titles == ["account", "id", "here", "name", "title"]
    assert row == ["4711", "12345", "shop", "shop.example", "The demonstration shop"]


def test_a_refusal_by_chaser_is_reported_in_one_line(at_chaser: Terminal) -> None:
    ended = at_chaser.run("statistics", "--site-id", "777")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "Chaser knows no such site (404): `chaser-callback websites` lists the ones there are\n"


def test_an_unreachable_chaser_is_reported_in_one_line(tmp_path: Path) -> None:
    ended = Terminal(values(tmp_path, NOBODY)).run("websites")
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (3, "", 1)
    assert ended.stderr.startswith("CHASER__API_URL: ")


def test_an_invalid_option_is_refused_in_one_line(at_chaser: Terminal) -> None:
    for words in (["--from", "2026-13-01"], ["--site", "nobody"], ["--plot", "--json"]):
        ended = at_chaser.run("statistics", *words)
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
        assert words[0] in ended.stderr


INCOMPLETE: dict[str, Any] = {
    "no site": {},
    "no number": {"shop": {"origins": ["https://shop.example"], "working_hours": "mon-fri 9:00-18:00"}},
    "no origins": {"shop": {"site_id": 12345}},
    "nothing but a name": {"shop": {"phone": "+7 495 000-00-03"}, "other": {}},
}


@pytest.mark.parametrize("sites", INCOMPLETE)
def test_the_sites_at_chaser_are_listed_before_a_site_is_complete(tmp_path: Path, far_side: Chaser, sites: str) -> None:
    chosen = values(tmp_path, far_side.api_url) | {"sites": INCOMPLETE[sites]}
    ended = Terminal(chosen).run("websites")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[1].split("\t")[:2] == ["4711", "12345"]
    assert Terminal(chosen).run("statistics").returncode == 2


AGENCY = Account("9981", "the key of the agency", (Site("7", "agency.example"), Site("8", "second.example")))
WRONG: dict[str, tuple[str, str, set[str]]] = {
    "general": ("wrong", "the key of the agency", {"7", "8"}),
    "site's": (DEMO_PRIVATE_KEY, "wrong", {"12345"}),
    "both": ("wrong", "also wrong", set()),
}


@pytest.mark.parametrize("account", WRONG)
def test_an_account_that_chaser_refuses_hides_no_other(tmp_path: Path, account: str) -> None:
    general, agency, listed = WRONG[account]
    own = {"site_id": 7, "origins": ["https://agency.example"], "client_id": "9981", "private_key": agency}
    shop = Account(DEMO_CLIENT_ID, DEMO_PRIVATE_KEY, (Site(DEMO_SITE_ID, "shop.example"),))
    with chaser(Options((shop, AGENCY))) as far_side:
        chosen = values(tmp_path, far_side.api_url, chaser={"private_key": general}, sites={"agency": own})
        ended = Terminal(chosen).run("websites")
    assert {line.split("\t")[1] for line in ended.stdout.splitlines()[1:]} == listed
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1 if listed else 2)
    assert "(401): correct client_id or private_key" in ended.stderr
