"""The load: wrk with load.lua, a warm-up and some rounds."""

import itertools
import subprocess
from collections.abc import Callable

from benchmarks.dose import CONNECTIONS, SITES, Dose
from benchmarks.figures import Load, median, read_wrk
from benchmarks.processes import ROOT

_APART = 200_000  # more requests than one round has: no two rounds send the same phone
_numbers = itertools.count(0, _APART)


def load(
    dose: Dose,
    port: int,
    kind: str,
    with_what: str | Callable[[int], str],
    *,
    refusals: bool = False,
    shorter: float = 1,
) -> Load:
    """Put 32 connections to work, and give the medians of the rounds.

    ``kind`` and ``with_what``: see load.lua; a function is asked before each round, and told its seconds.
    ``shorter``: divides the time of each round.
    """

    def one(seconds: float) -> Load:
        whole = max(1, round(seconds / shorter))  # wrk knows no others
        return _wrk(port, whole, kind, with_what(whole) if callable(with_what) else with_what, refusals=refusals)

    one(dose.warm_up)
    return median([one(dose.seconds) for _ in range(dose.rounds)])


def _wrk(port: int, seconds: int, kind: str, with_what: str, *, refusals: bool) -> Load:
    script = ROOT / "benchmarks" / "load.lua"
    command = ["wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{seconds}s"]
    command += ["--timeout", "10s", "--script", str(script), f"http://127.0.0.1:{port}", "--"]
    command += [str(next(_numbers)), str(SITES), kind, with_what]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    return read_wrk(done.stdout + done.stderr, refusals=refusals)
