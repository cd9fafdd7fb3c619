"""Proof-of-work challenges solved in advance: browsers would solve them on other machines than the service's."""

import itertools
import time
from pathlib import Path

from altcha import Challenge, Payload, solve_challenge

from app.edge.proof_of_work import COUNTERS, SHORTEST_AGE, Challenges
from app.main import utc_now
from benchmarks.ours import SECRET, SITE_NAMES

_numbers = itertools.count()


def write_solved_challenges(count: int, file: Path) -> None:
    """Write solved challenges to a file, a line each: site number and payload. Wait until the service accepts them.

    Their difficulty is minimal: a solver's first try is the solution. Verifying them costs the service the same.
    """
    challenges = Challenges(SECRET.encode(), utc_now)
    with file.open("w", encoding="ascii") as lines:
        for site in itertools.islice(_numbers, count):
            name = SITE_NAMES[site % len(SITE_NAMES)]
            challenge = Challenge.from_dict(challenges.issue(name, 1 / COUNTERS))
            solution = solve_challenge(challenge)
            if solution is None:
                raise RuntimeError("a challenge was not solved")
            lines.write(f"{site % len(SITE_NAMES)} {Payload(challenge, solution).to_base64()}\n")
    time.sleep(SHORTEST_AGE.total_seconds())
