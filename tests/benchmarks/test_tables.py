"""The tables and targets of the benchmarks, from made-up results. The measurements themselves are `make bench`."""

from pathlib import Path

import pytest

from benchmarks.__main__ import PAGE, README
from benchmarks.figures import Load, Times, median, read_wrk, times
from benchmarks.peers.running import BARE, PROXIES
from benchmarks.results import STATES, Measurement, Results
from benchmarks.tables import BEGIN, END, all_tables, readme_table, replace_tables
from benchmarks.targets import targets

LINE = '{"requests": 3000, "seconds": 2.000000, "p50_ms": 10.5, "p99_ms": 31.0, "refused": 4, "broken": 1}'


def load(rate: float) -> Load:
    return Load(rate, 32_000 / rate, 64_000 / rate, 0)


def results(*, with_stored: float = 1.0) -> Results:
    measured = Results(machine="2 cores", date="2026-01-31", versions="all of them", stored=1_000_000, waiting=100_000)
    measured.titles = {name: f"{name} 1.2.3" for name in (*PROXIES, BARE)}
    measured.peers = {(name, delay): load(100) for name in PROXIES for delay in (0, 300)}
    measured.bare, measured.bare_quiet, measured.browser = load(6000), load(8000), load(1500)
    for state in STATES:
        factor = with_stored if state == "stored" else 1.0
        measured.flood[state], measured.foreign[state] = load(4000), load(3000)
        for kind in ("SQLite", "PostgreSQL 18.0"):
            loads = {delay: load(2500 * factor) for delay in (0, 300)}
            measured.service[kind, state] = Measurement(loads, 80.0, Times(5, 9), Times(900, 1000))
    return measured


def test_the_line_of_load_lua_is_found_and_refused_requests_do_not_count_in_the_rate() -> None:
    assert read_wrk(f"Running 2s test\n{LINE}\n", refusals=False) == Load(1498, 10.5, 31.0, unexpected=5)


def test_where_refusals_are_expected_an_accepted_request_is_unexpected() -> None:
    assert read_wrk(LINE, refusals=True) == Load(2, 10.5, 31.0, unexpected=1 + 2996)


def test_a_load_that_did_not_run_is_an_error() -> None:
    with pytest.raises(ValueError, match="unable to connect"):
        read_wrk("unable to connect to 127.0.0.1:1 Connection refused", refusals=False)


def test_rounds_are_combined_by_their_medians_and_the_sum_of_unexpected_answers() -> None:
    rounds = [Load(100, 3, 9, 1), Load(300, 1, 7, 0), Load(200, 2, 8, 2)]
    assert median(rounds) == Load(200, 2, 8, 3)


def test_the_99th_percentile_of_single_times_is_a_measured_time() -> None:
    assert times([float(number) for number in range(1, 101)]) == Times(50.5, 99.0)
    assert times([7.0]) == Times(7.0, 7.0)


def test_every_row_of_every_table_has_the_cells_of_its_heading() -> None:
    for text in (all_tables(results()), readme_table(results())):
        for table in text.split("\n\n"):
            lines = [line for line in table.splitlines() if line.startswith("|")]
            assert len({line.count("|") for line in lines}) <= 1, table


def test_the_readme_shows_every_peer_and_the_ratio_to_the_tutorial() -> None:
    rows = [line for line in readme_table(results()).splitlines() if line.startswith("|")][2:]
    assert len(rows) == len(PROXIES) + 3
    assert "| **this service on SQLite** | 2,500 | 12.8 ms | 26 ms | 25.0 |" in rows


def test_unexpected_answers_are_shown_beside_the_rate() -> None:
    measured = results()
    measured.peers["node", 300] = Load(100, 1, 2, unexpected=17)
    assert "100 (17 unexpected)" in all_tables(measured)


def test_targets_are_compared_with_the_measured_values() -> None:
    assert [target.text for target in targets(results()) if not target.met] == []
    slow = {target.text: target.verdict for target in targets(results(with_stored=0.8))}
    assert slow["nothing worse by more than 10 % with 1,000,000 stored"] == "**missed**"
    assert slow["memory under 120 MB"] == "reached"


def test_new_tables_replace_only_the_old_tables() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter"
    once = replace_tables(page, "| new |")
    assert once == f"before\n{BEGIN}\n\n| new |\n\n{END}\nafter"
    assert replace_tables(once, "| new |") == once
    with pytest.raises(ValueError, match="no markers"):
        replace_tables("another page", "| new |")


@pytest.mark.parametrize("page", [PAGE, README])
def test_the_pages_have_their_markers(page: Path) -> None:
    assert "| new |" in replace_tables(page.read_text(encoding="utf-8"), "| new |")
