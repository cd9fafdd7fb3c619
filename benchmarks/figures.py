"""The values that are measured, and what is made of several rounds of them."""

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """What a load came to: answers a second that were as expected, how many were not, and times to answer in ms."""

    rate: float
    p50: float
    p99: float
    wrong: int


@dataclass(frozen=True, slots=True)
class Times:
    """The middle and the 99th percentile of single times, in ms."""

    p50: float
    p99: float


def read_wrk(output: str, *, refusals: bool) -> Load:
    """Read what load.lua printed. ``refusals``: whether being refused is what is expected. Raises ValueError."""
    line = next((line for line in output.splitlines() if line.startswith('{"requests"')), None)
    if line is None:
        raise ValueError(f"wrk printed no result: {output[-300:]!r}")
    found = json.loads(line)
    refused, broken = found["refused"], found["broken"]
    other = found["requests"] - refused if refusals else refused
    return Load((found["requests"] - other) / found["seconds"], found["p50_ms"], found["p99_ms"], other + broken)


def median(rounds: Sequence[Load]) -> Load:
    """Give the medians over the rounds; what was wrong is added up."""
    return Load(
        statistics.median(one.rate for one in rounds),
        statistics.median(one.p50 for one in rounds),
        statistics.median(one.p99 for one in rounds),
        sum(one.wrong for one in rounds),
    )


def times(samples: Sequence[float]) -> Times:
    """Give the percentiles of times in ms, of at least one; the 99th is the nearest rank, so of few the largest."""
    ordered = sorted(samples)
    return Times(statistics.median(ordered), ordered[math.ceil(len(ordered) * 0.99) - 1])
