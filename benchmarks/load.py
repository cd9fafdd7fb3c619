"""The load: wrk with load.lua, a warm-up and several rounds."""

import contextlib
import itertools
import subprocess
from collections.abc import Callable, Sequence

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


def spread_load(ports: Sequence[int], seconds: int, kind: str, argument: str, *, sites: int) -> Load:
    """Send requests on 32 connections that are distributed over the ports, and return the sum of the rates.

    The percentiles are the highest of the ports.
    """
    shares = zip(ports, connections_of_each(len(ports)), strict=True)
    commands = [_command(port, share, seconds, kind, argument, sites) for port, share in shares]
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
            for command in commands
        ]
        outputs = [process.communicate(timeout=seconds + 60)[0] for process in processes]
    loads = [read_wrk(output, refusals=False) for output in outputs]
    return Load(
        sum(load.rate for load in loads),
        max(load.p50 for load in loads),
        max(load.p99 for load in loads),
        sum(load.unexpected for load in loads),
    )


def connections_of_each(ports: int) -> list[int]:
    """Return how many of the 32 connections each port gets."""
    return [len(range(index, CONNECTIONS, ports)) for index in range(ports)]


def _wrk(port: int, seconds: int, kind: str, argument: str, *, refusals: bool) -> Load:
    command = _command(port, CONNECTIONS, seconds, kind, argument, SITES)
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    return read_wrk(done.stdout + done.stderr, refusals=refusals)


def _command(port: int, connections: int, seconds: int, kind: str, argument: str, sites: int) -> list[str]:
    script = ROOT / "benchmarks" / "load.lua"
    command = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"]
    command += ["--timeout", "10s", "--script", str(script), f"http://127.0.0.1:{port}", "--"]
    return [*command, str(next(_first_numbers)), str(sites), kind, argument]
