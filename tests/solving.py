"""Solves challenges as a visitor's browser does, with ALTCHA's own solver."""

from typing import Any

import httpx2
from altcha import Challenge, Payload, solve_challenge


def solved(received: dict[str, Any]) -> str:
    """Return the solution of a challenge in the form in which it is sent to the service."""
    challenge = Challenge.from_dict(received)
    solution = solve_challenge(challenge)
    assert solution is not None
    return Payload(challenge, solution).to_base64()


def solve(http: httpx2.Client, site: str = "shop", **headers: str) -> str:
    """Fetch a challenge and solve it."""
    response = http.get("/v1/challenge", params={"site": site}, headers=headers)
    assert response.status_code == 200, response.text
    return solved(response.json())
