"""The dose of a run: the long one of about 15 minutes, or BENCH=short to check that everything works."""

import os
from dataclasses import dataclass

CONNECTIONS = 32
SITES = 400
"""Enough that no site reaches its default limit of 500 callbacks a day: all limits keep their defaults."""


@dataclass(frozen=True, slots=True)
class Dose:
    """Sizes of a run.

    `warm_up` and `seconds` of each of `rounds` are in seconds, `stored` and `waiting` in callbacks. `idle` and `starts`
    are numbers of samples.
    """

    warm_up: float
    rounds: int
    seconds: float
    stored: int
    waiting: int
    idle: int
    starts: int


@dataclass(frozen=True, slots=True)
class ComparisonDose:
    """Sizes of a comparison of two commits: `runs` of each, with whole seconds of warm-up and of measurement.

    A commit may answer all 32 connections at once. With few seconds the rate would depend on the end of the last batch.
    """

    warm_up: int
    seconds: int
    runs: int


LONG = Dose(warm_up=2, rounds=3, seconds=4, stored=1_000_000, waiting=100_000, idle=200, starts=5)
SHORT = Dose(warm_up=0.3, rounds=1, seconds=0.7, stored=5_000, waiting=1_000, idle=10, starts=1)
LONG_COMPARISON = ComparisonDose(warm_up=2, seconds=8, runs=5)
SHORT_COMPARISON = ComparisonDose(warm_up=1, seconds=2, runs=2)


def dose_from_environment() -> Dose:
    """Return the dose that the environment variable BENCH selects."""
    return SHORT if _is_short() else LONG


def comparison_dose_from_environment() -> ComparisonDose:
    """Return the dose of a comparison that the environment variable BENCH selects."""
    return SHORT_COMPARISON if _is_short() else LONG_COMPARISON


def _is_short() -> bool:
    return os.environ.get("BENCH") == "short"
