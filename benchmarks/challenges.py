"""Challenges whose work is done already: visitors' browsers do it on their own machines, not on this one."""

import itertools
import time
from pathlib import Path

from altcha import Challenge, Payload, solve_challenge

from app.edge.proof_of_work import COUNTERS, SHORTEST_AGE, Challenges
from app.main import utc_now
from benchmarks.ours import SECRET, SITE_NAMES

_made = itertools.count()


def solve_some(number: int, file: Path) -> None:
    """Write solved challenges into a file, each behind the number of its site, and wait until they may be used.

    Their answer is the first one that a solver tries. To check them is the same work for the service as ever.
    """
    challenges = Challenges(SECRET.encode(), utc_now)
    with file.open("w", encoding="ascii") as lines:
        for site in itertools.islice(_made, number):
            name = SITE_NAMES[site % len(SITE_NAMES)]
            given = Challenge.from_dict(challenges.give(name, 1 / COUNTERS))
            solution = solve_challenge(given)
            if solution is None:
                raise RuntimeError("a challenge was not solved")
            lines.write(f"{site % len(SITE_NAMES)} {Payload(given, solution).to_base64()}\n")
    time.sleep(SHORTEST_AGE.total_seconds())
