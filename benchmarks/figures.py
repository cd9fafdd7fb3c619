"""Measured values, and their medians and percentiles over several rounds."""

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """The result of a load: expected answers per second, response times in ms, and the number of unexpected answers."""

    rate: float
    p50: float
    p99: float
    unexpected: int


@dataclass(frozen=True, slots=True)
class Times:
    """Median and 99th percentile of single times, in ms."""

    p50: float
    p99: float


def read_wrk(output: str, *, refusals: bool) -> Load:
    """Parse the output of load.lua; `refusals`: refusals are the expected answers.

    Raises ValueError if the output has no result.
    """
    line = next((line for line in output.splitlines() if line.startswith('{"requests"')), None)
    if line is None:
        raise ValueError(f"wrk printed no result: {output[-300:]!r}")
    result = json.loads(line)
    refused, broken = result["refused"], result["broken"]
    other = result["requests"] - refused if refusals else refused
    return Load((result["requests"] - other) / result["seconds"], result["p50_ms"], result["p99_ms"], other + broken)


def median(rounds: Sequence[Load]) -> Load:
    """Return the medians over the rounds, and the sum of the unexpected answers."""
    return Load(
        statistics.median(load.rate for load in rounds),
        statistics.median(load.p50 for load in rounds),
        statistics.median(load.p99 for load in rounds),
        sum(load.unexpected for load in rounds),
    )


def times(samples: Sequence[float]) -> Times:
    """Return the percentiles of at least one time in ms. The 99th is the nearest rank: of under 100, the largest."""
    ordered = sorted(samples)
    return Times(statistics.median(ordered), ordered[math.ceil(len(ordered) * 0.99) - 1])
