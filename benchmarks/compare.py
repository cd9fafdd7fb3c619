"""`make bench COMPARE=folder`: the requests that this checkout and an older one accept, in one run."""

import argparse
import contextlib
import json
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from subprocess import Popen
from typing import Any

import psycopg

from benchmarks.__main__ import machine
from benchmarks.checkouts import Checkout
from benchmarks.databases import Databases, PostgreSQL, SQLite, postgresql
from benchmarks.dose import CONNECTIONS, LONG_COMPARISON, comparison_dose_from_environment
from benchmarks.measuring import log_progress
from benchmarks.processes import ROOT, cpu_seconds, free_port, running
from benchmarks.ratios import Measured, Rates, as_json, comparison_tables
from benchmarks.scenarios import DELAY, KINDS, SCENARIOS, Surroundings, run_once, through_proxy
from benchmarks.upstreams import upstreams


def measure(old: Checkout, new: Checkout, kind: str, folder: Path) -> tuple[Measured, dict[str, Any]]:
    """Measure all scenarios in alternating runs. Return the rates and facts about the run."""
    dose = comparison_dose_from_environment()
    measured: Measured = {}
    with upstreams(folder) as far_side, postgresql(folder) as server, _delay_proxy(server, folder) as (port, proxy):
        facts: dict[str, Any] = {"database": server.title} | _round_trips(server, port)
        databases: dict[str, Databases] = {"PostgreSQL": server, "SQLite": SQLite(folder)}
        around = Surroundings(folder, databases, port, far_side.url(0))
        for scenario in SCENARIOS:
            started, busy = time.monotonic(), cpu_seconds(proxy)
            loads = []
            for number in range(dose.runs):
                loads.append([run_once(scenario, checkout, dose, kind, around) for checkout in (old, new)])
                rates = " -> ".join(f"{load.rate:,.0f}" for load in loads[-1])
                log_progress(f"{scenario.title}, run {number + 1} of {dose.runs}: {rates}")
            if scenario.delayed:
                share = (cpu_seconds(proxy) - busy) / (time.monotonic() - started)
                log_progress(f"the delaying proxy used {share:.0%} of a core")
            measured[scenario] = tuple(
                Rates([load.rate for load in of_one], sum(load.unexpected for load in of_one))
                for of_one in zip(*loads, strict=True)
            )  # type: ignore[assignment]
    return measured, facts


@contextlib.contextmanager
def _delay_proxy(server: PostgreSQL, folder: Path) -> Iterator[tuple[int, "Popen[bytes]"]]:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.delay_proxy", str(port), str(DELAY), str(server.socket)]
    with running(command, folder / "delay_proxy.log", port=port) as process:
        yield port, process


def _round_trips(server: PostgreSQL, port: int) -> dict[str, float]:
    """Measure a statement over the socket and through the proxy, in ms. It shows what the proxy really adds."""
    found = {}
    name = "round_trips"
    direct = server.new(name)
    for way, url in (("socket", direct), ("proxy", through_proxy(direct, port))):
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            samples = []
            for _ in range(200):
                started = time.perf_counter()
                connection.execute("SELECT 1")
                samples.append((time.perf_counter() - started) * 1000)
        found[f"round_trip_ms_{way}"] = round(statistics.median(samples), 3)
    server.drop(name)
    log_progress(f"a round trip: {found}")
    return found


def main() -> None:
    """Compare this checkout with the one in the given folder, print the tables, and write the figures if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=main.__doc__)
    parser.add_argument("old", type=Path, help="folder of a checkout of an older commit, with its .venv")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--kind", choices=KINDS, default=KINDS[0], help="kind of the requests")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    old, new = Checkout(options.old.resolve()), Checkout(ROOT)
    try:
        for checkout in (old, new):
            checkout.verify()
    except ValueError as error:
        parser.error(str(error))
    names = old.commit, new.commit
    (ROOT / ".make").mkdir(exist_ok=True)
    # Not in /tmp, which may be a tmpfs: then commits would reach no disk and look too fast.
    with tempfile.TemporaryDirectory(dir=ROOT / ".make", prefix="bench-", ignore_cleanup_errors=True) as folder:
        measured, facts = measure(old, new, options.kind, Path(folder))
    facts |= {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": machine(), "kind": options.kind}
    if options.json:
        figures = as_json(measured, *names, facts | {"connections": CONNECTIONS})
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(f"\n{facts['date']}, {facts['machine']}.\n\n{comparison_tables(measured, *names)}")
    if comparison_dose_from_environment() is not LONG_COMPARISON:
        log_progress("BENCH=short: these figures mean nothing")


if __name__ == "__main__":
    main()
