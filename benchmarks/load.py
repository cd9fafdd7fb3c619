"""The load: wrk with load.lua, a warm-up and several rounds."""

import itertools
import subprocess
from collections.abc import Callable

from benchmarks.dose import CONNECTIONS, SITES, Dose
from benchmarks.figures import Load, median, read_wrk
from benchmarks.processes import ROOT

_NUMBERS_PER_ROUND = 200_000  # more requests than a round has: otherwise two rounds would send the same phones
_first_numbers = itertools.count(0, _NUMBERS_PER_ROUND)


def load(
    dose: Dose,
    port: int,
    kind: str,
    argument: str | Callable[[int], str],
    *,
    refusals: bool = False,
    divisor: float = 1,
) -> Load:
    """Send requests on 32 connections and return the medians of the rounds.

    `kind` and `argument`: see load.lua; a function is called before each round with its length in seconds.
    `refusals`: refusals are the expected answers. `divisor`: divides the length of each round.
    """

    def run_round(seconds: float) -> Load:
        whole = max(1, round(seconds / divisor))  # wrk accepts whole seconds only
        return _wrk(port, whole, kind, argument(whole) if callable(argument) else argument, refusals=refusals)

    run_round(dose.warm_up)
    return median([run_round(dose.seconds) for _ in range(dose.rounds)])


def _wrk(port: int, seconds: int, kind: str, argument: str, *, refusals: bool) -> Load:
    script = ROOT / "benchmarks" / "load.lua"
    command = ["wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{seconds}s"]
    command += ["--timeout", "10s", "--script", str(script), f"http://127.0.0.1:{port}", "--"]
    command += [str(next(_first_numbers)), str(SITES), kind, argument]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    return read_wrk(done.stdout + done.stderr, refusals=refusals)
