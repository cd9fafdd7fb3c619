"""All that one run has found. The tables are made of it and of nothing else."""

from dataclasses import dataclass, field

from benchmarks.figures import Load, Times

STATES = ("empty", "stored", "waiting")
"""Of the database: with nothing in it, with what was delivered in 90 days, with what waits."""


@dataclass(slots=True)
class Kept:
    """Ours on one kind of database in one state. ``loads``: by the upstream's delay in ms; ``memory``: MB at most."""

    loads: dict[int, Load] = field(default_factory=dict)
    memory: float = 0.0
    accept_to_received: Times | None = None
    first_202: Times | None = None


@dataclass(slots=True)
class Results:
    """``peers``: by name and delay in ms. ``ours``: by kind of database and state.

    ``bare``: FastAPI alone, ``bare_quiet`` without its line in the log. ``flood`` and ``foreign``: the refusals 429 and
    403, by state. ``browser``: with the challenge. ``widget``: bytes by what they are. ``titles``: names of peers.
    """

    machine: str
    date: str
    versions: str
    stored: int = 0
    waiting: int = 0
    titles: dict[str, str] = field(default_factory=dict)
    peers: dict[tuple[str, int], Load] = field(default_factory=dict)
    ours: dict[tuple[str, str], Kept] = field(default_factory=dict)
    bare: Load | None = None
    bare_quiet: Load | None = None
    flood: dict[str, Load] = field(default_factory=dict)
    foreign: dict[str, Load] = field(default_factory=dict)
    browser: Load | None = None
    widget: dict[str, int] = field(default_factory=dict)
