"""The tables of the results, in Markdown."""

import re
from collections.abc import Iterable, Iterator

from benchmarks.figures import Load
from benchmarks.peers.running import BARE, HTTPX, NODE, PROXIES
from benchmarks.results import STATES, Results
from benchmarks.targets import targets

BEGIN, END = "<!-- figures of make bench -->", "<!-- end of the figures -->"
_DELAYS = (0, 300)


def all_tables(results: Results) -> str:
    """Return all tables, each under its heading."""
    parts = [
        f"{results.date}, {results.machine}. {results.versions}.",
        "### Side by side",
        table(("", "Chaser takes 0 ms", "p50", "p99", "Chaser takes 300 ms", "p50", "p99"), _side_by_side(results)),
        "### More of ours",
        table(("", "per second", "p50", "p99", "of bare", "of bare, no log"), _more(results)),
        "### As the database grows",
        *(
            part
            for kind in _kinds(results)
            for part in (f"On {kind}:", table(_states(results), _growth(results, kind)))
        ),
        "### The widget",
        table(("", "bytes"), ([name, f"{size:,}"] for name, size in results.widget.items())),
        "### Against the targets",
        table(
            ("target", "measured", ""), ([target.text, target.measured, target.verdict] for target in targets(results))
        ),
    ]
    return "\n\n".join(parts)


def readme_table(results: Results) -> str:
    """Return the table of the README: the peers and the service with an upstream of 300 ms."""
    kinds = _kinds(results)
    measured = [results.service[kind, "empty"] for kind in kinds]
    rows = [
        [
            _without_versions(results.titles[name]),
            *_cells(results.peers[name, 300]),
            _times(results, results.peers[name, 300]),
        ]
        for name in PROXIES
    ]
    for kind, of_kind in zip(kinds, measured, strict=True):
        load = of_kind.loads[300]
        rows.append([f"**this service on {kind}**", *_cells(load), _times(results, load)])
    if results.bare is not None:
        rows.append(["FastAPI that only answers 202, and calls nobody", *_cells(results.bare), ""])
    heading = ("Chaser takes 300 ms, 32 connections", "accepted per second", "p50", "p99", "times the tutorial")
    return f"{table(heading, rows)}\n\n{results.date}, {results.machine}."


def replace_tables(page: str, tables: str) -> str:
    """Return the page with new tables between its markers. Raises ValueError if it has none."""
    section = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    if not section.search(page):
        raise ValueError(f"the page has no markers: {BEGIN} … {END}")
    return section.sub(lambda _: f"{BEGIN}\n\n{tables}\n\n{END}", page)


def _side_by_side(results: Results) -> Iterator[list[str]]:
    for name in PROXIES:
        cells = [cell for delay in _DELAYS for cell in _cells(results.peers[name, delay])]
        yield [results.titles[name], *cells]
    for kind in _kinds(results):
        loads = results.service[kind, "empty"].loads
        yield [f"**this service on {kind}**", *(cell for delay in _DELAYS for cell in _cells(loads[delay]))]
    for title, against in (("the tutorial, httpx", HTTPX), ("Node", NODE)):
        for kind in _kinds(results):
            loads = results.service[kind, "empty"].loads
            ratios = [f"{loads[delay].rate / results.peers[against, delay].rate:.1f} x" for delay in _DELAYS]
            yield [f"on {kind}, against {title}", ratios[0], "", "", ratios[1], "", ""]


def _more(results: Results) -> Iterator[list[str]]:
    rows: list[tuple[str, Load | None]] = [(results.titles[BARE], results.bare)]
    rows.append((f"{results.titles[BARE]}, without its line in the log", results.bare_quiet))
    rows += [(f"202 with an API key, {kind}", results.service[kind, "empty"].loads[300]) for kind in _kinds(results)]
    rows.append(("202 with Origin and a solved challenge, SQLite", results.browser))
    rows.append(("429, a flood from one address", results.flood.get("empty")))
    rows.append(("403, a page that may not ask", results.foreign.get("empty")))
    for title, load in rows:
        if load is not None:
            shares = [f"{load.rate / bare.rate:.0%}" if bare else "" for bare in (results.bare, results.bare_quiet)]
            yield [title, *_cells(load), *shares]


def _states(results: Results) -> tuple[str, ...]:
    return ("", "empty", f"{results.stored:,} stored", f"{results.waiting:,} waiting", "stored against empty")


def _growth(results: Results, kind: str) -> Iterator[list[str]]:
    measured = {state: results.service[kind, state] for state in STATES}
    for delay in _DELAYS:
        loads = {state: of_state.loads[delay] for state, of_state in measured.items()}
        yield _growth_row(f"202 per second, Chaser takes {delay} ms", [loads[state].rate for state in STATES], ",.0f")
        yield _growth_row("its p50, ms", [loads[state].p50 for state in STATES], ".1f")
    if kind == "SQLite":
        for title, refusals in (("429 per second", results.flood), ("403 per second", results.foreign)):
            yield _growth_row(title, [refusals[state].rate for state in STATES], ",.0f")
    for title, times in (
        ("accept to received, ms", [of_state.accept_to_received for of_state in measured.values()]),
        ("start to first 202, ms", [of_state.first_202 for of_state in measured.values()]),
    ):
        known = [each for each in times if each is not None]
        yield _growth_row(f"{title}, p50", [each.p50 for each in known], ".1f")
        yield _growth_row(f"{title}, p99", [each.p99 for each in known], ".1f")
    yield _growth_row("memory at most, MB", [of_state.memory for of_state in measured.values()], ".0f")


def _growth_row(title: str, values: list[float], number_format: str) -> list[str]:
    return [title, *(format(value, number_format) for value in values), f"{values[1] / values[0] - 1:+.0%}"]


def _kinds(results: Results) -> list[str]:
    return list(dict.fromkeys(kind for kind, _ in results.service))


def _cells(load: Load) -> list[str]:
    unexpected = f" ({load.unexpected} unexpected)" if load.unexpected else ""
    return [f"{load.rate:,.0f}{unexpected}", f"{load.p50:.1f} ms", f"{load.p99:.0f} ms"]


def _times(results: Results, load: Load) -> str:
    return f"{load.rate / results.peers[HTTPX, 300].rate:.1f}"


def _without_versions(title: str) -> str:
    return re.sub(r" [0-9][0-9.]*", "", title)


def table(heading: Iterable[str], rows: Iterable[list[str]]) -> str:
    """Return a table in Markdown. The first column holds words, the others hold numbers."""
    columns = list(heading)
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
