"""How much a run takes: the whole, of about a quarter of an hour, or BENCH=short to see that everything works."""

import os
from dataclasses import dataclass

CONNECTIONS = 32
SITES = 400
"""So many that the default of 500 callbacks a day for each is not reached: all limits stay as they come."""


@dataclass(frozen=True, slots=True)
class Dose:
    """Times in seconds; ``stored`` and ``waiting`` in callbacks, ``idle`` and ``starts`` in samples."""

    warm_up: float
    rounds: int
    seconds: float
    stored: int
    waiting: int
    idle: int
    starts: int


LONG = Dose(warm_up=2, rounds=3, seconds=4, stored=1_000_000, waiting=100_000, idle=200, starts=5)
SHORT = Dose(warm_up=0.3, rounds=1, seconds=0.7, stored=5_000, waiting=1_000, idle=10, starts=1)


def chosen() -> Dose:
    """Give the dose of this run."""
    return SHORT if os.environ.get("BENCH") == "short" else LONG
