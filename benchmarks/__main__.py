"""`make bench`: measures, writes the tables into docs/benchmarks.md and the README, and prints them."""

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
from benchmarks.dose import LONG, Dose, chosen
from benchmarks.measuring import measure_browsers, measure_ours, measure_peers, measure_widget, say
from benchmarks.processes import ROOT
from benchmarks.results import Results
from benchmarks.tables import full, laid_between, readme
from benchmarks.upstreams import upstreams

PAGE, README = ROOT / "docs" / "benchmarks.md", ROOT / "README.md"


def run(dose: Dose, folder: Path) -> Results:
    """Measure everything there is, with what is left behind in a folder."""
    results = Results(machine=_machine(), date=f"{datetime.now(UTC):%Y-%m-%d}", versions=_versions())
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
    """Run the benchmarks in the dose that BENCH names."""
    logging.disable(logging.WARNING)  # what the service would tell its owner while tables are made
    dose = chosen()
    (ROOT / ".make").mkdir(exist_ok=True)
    # Here and not in the system's folder for temporary files, which may be in memory: a commit has to reach a disk.
    with tempfile.TemporaryDirectory(dir=ROOT / ".make", prefix="bench-", ignore_cleanup_errors=True) as folder:
        results = run(dose, Path(folder))
    tables = full(results)
    print(f"\n{tables}\n\nFor the README:\n\n{readme(results)}")
    if dose is LONG:
        for page, text in ((PAGE, tables), (README, readme(results))):
            page.write_text(laid_between(page.read_text(encoding="utf-8"), text), encoding="utf-8")
            say(f"written into {page.relative_to(ROOT)}")
    else:
        say("BENCH=short: these figures mean nothing, and were not written down")


def _machine() -> str:
    """Tell the cores and the processor, and nothing that would name this machine."""
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    processor = found[1] if found else platform.machine()
    return f"{len(os.sched_getaffinity(0))} cores of {processor}, {memory:.0f} GB, {platform.system()}"


def _versions() -> str:
    return f"Chaser Callback {VERSION}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"


if __name__ == "__main__":
    main()
