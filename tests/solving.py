"""What a visitor's browser does with a challenge, done by ALTCHA's own solver."""

from typing import Any

import httpx2
from altcha import Challenge, Payload, solve_challenge


def solved(given: dict[str, Any]) -> str:
    """Give what is sent back for a challenge as it came."""
    challenge = Challenge.from_dict(given)
    solution = solve_challenge(challenge)
    assert solution is not None
    return Payload(challenge, solution).to_base64()


def solve(http: httpx2.Client, site: str = "shop", **headers: str) -> str:
    """Fetch a challenge and solve it."""
    answer = http.get("/v1/challenge", params={"site": site}, headers=headers)
    assert answer.status_code == 200, answer.text
    return solved(answer.json())
