"""`make bench`: measure, write the tables into docs/benchmarks.md and the README, and print them."""

import logging
import os
import platform
import re
import sqlite3
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from app.version import VERSION
from benchmarks.databases import SQLite, postgresql
from benchmarks.dose import LONG, Dose, dose_from_environment
from benchmarks.measuring import log_progress, measure_browsers, measure_ours, measure_peers, measure_widget
from benchmarks.processes import ROOT
from benchmarks.results import Results
from benchmarks.tables import all_tables, readme_table, replace_tables
from benchmarks.upstreams import upstreams

PAGE, README = ROOT / "docs" / "benchmarks.md", ROOT / "README.md"


def run(dose: Dose, folder: Path) -> Results:
    """Run all measurements, with databases, settings and logs in `folder`, and return the results."""
    results = Results(machine=machine(), date=f"{datetime.now(UTC):%Y-%m-%d}", versions=_versions())
    results.stored, results.waiting = dose.stored, dose.waiting
    measure_widget(results)
    with upstreams(folder) as far_side, postgresql(folder) as server:
        sqlite = SQLite(folder)
        measure_peers(dose, folder, far_side, results)
        measure_ours(dose, folder, sqlite, far_side, results)
        measure_browsers(dose, folder, sqlite, far_side, results)
        measure_ours(dose, folder, server, far_side, results)
    return results


def main() -> None:
    """Run the benchmarks; BENCH=short selects the short dose, which writes no tables."""
    logging.disable(logging.WARNING)  # the log of the migrations
    dose = dose_from_environment()
    (ROOT / ".make").mkdir(exist_ok=True)
    # Not in /tmp, which may be a tmpfs: then commits would reach no disk and look too fast.
    with tempfile.TemporaryDirectory(dir=ROOT / ".make", prefix="bench-", ignore_cleanup_errors=True) as folder:
        results = run(dose, Path(folder))
    tables = all_tables(results)
    print(f"\n{tables}\n\nFor the README:\n\n{readme_table(results)}")
    if dose is LONG:
        for page, text in ((PAGE, tables), (README, readme_table(results))):
            page.write_text(replace_tables(page.read_text(encoding="utf-8"), text), encoding="utf-8")
            log_progress(f"written into {page.relative_to(ROOT)}")
    else:
        log_progress("BENCH=short: these figures mean nothing, and were not written to the docs")


def machine() -> str:
    """Return cores, processor, memory and system, but no host name: the tables are published."""
    model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    processor = model[1] if model else platform.machine()
    return f"{len(os.sched_getaffinity(0))} cores of {processor}, {memory:.0f} GB, {platform.system()}"


def _versions() -> str:
    return f"Chaser Callback {VERSION}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"


if __name__ == "__main__":
    main()
