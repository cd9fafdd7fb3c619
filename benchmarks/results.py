"""The results of one run: the only input of the tables."""

from dataclasses import dataclass, field

from benchmarks.figures import Load, Times

STATES = ("empty", "stored", "waiting")
"""States of the database: empty, with the callbacks of 90 days, with a long queue."""


@dataclass(slots=True)
class Measurement:
    """The service on one kind of database in one state.

    `loads`: by the upstream's delay in ms. `memory`: peak resident memory in MB. The others: single times in ms.
    """

    loads: dict[int, Load] = field(default_factory=dict)
    memory: float = 0.0
    accept_to_received: Times | None = None
    first_202: Times | None = None


@dataclass(slots=True)
class Results:
    """All results of a run.

    `peers`: alternatives by name and upstream delay in ms. `service`: by kind of database and state. `bare`: FastAPI
    alone; `bare_quiet`: without access log. `flood`, `foreign`: the refusals 429 and 403, by state. `browser`: with a
    challenge. `widget`: sizes in bytes. `titles`: titles of the peers.
    """

    machine: str
    date: str
    versions: str
    stored: int = 0
    waiting: int = 0
    titles: dict[str, str] = field(default_factory=dict)
    peers: dict[tuple[str, int], Load] = field(default_factory=dict)
    service: dict[tuple[str, str], Measurement] = field(default_factory=dict)
    bare: Load | None = None
    bare_quiet: Load | None = None
    flood: dict[str, Load] = field(default_factory=dict)
    foreign: dict[str, Load] = field(default_factory=dict)
    browser: Load | None = None
    widget: dict[str, int] = field(default_factory=dict)
