"""The challenge: a little work for the visitor's browser, much for whoever wants to send thousands of requests.

The work is ALTCHA's (altcha.org, its second version): find the counter whose derived key begins as asked. The answer is
in the signed challenge itself, so nothing is kept until it is used; that it is used once is the outbox's to know.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from altcha import Payload, create_challenge, verify_solution

from app.errors import ForbiddenError

ALGORITHM: Final = "PBKDF2/SHA-256"  # browsers have it built in, off the page's own thread
COST: Final = 2000
"""Rounds of one derivation: about half a millisecond."""
COUNTERS: Final = 60
"""Derivations that may be needed at difficulty 1; on average it is half."""
LONGEST_AGE: Final = timedelta(minutes=10)
SHORTEST_AGE: Final = timedelta(seconds=1)
"""Nobody reads, types a number and sends it in less."""


@dataclass(frozen=True, slots=True)
class VerifiedChallenge:
    """A challenge solved in time for its site: the name it is remembered by, until when it must be, and its age."""

    nonce: str
    expires_at: datetime
    age: timedelta


class Challenges:
    """Gives challenges and reads what comes back. ``secret`` signs them; ``clock`` gives the time in UTC."""

    def __init__(self, secret: bytes, clock: Callable[[], datetime]) -> None:
        self._signing = _derived(secret, b"challenge")
        self._key_signing = _derived(secret, b"challenge key")
        self._clock = clock

    def issue(self, site: str, difficulty: float) -> dict[str, Any]:
        """Make a challenge for a site, as it goes to the browser. ``difficulty``: a multiple of COUNTERS, from 1."""
        now = self._clock()
        challenge = create_challenge(
            ALGORITHM,
            COST,
            # Chosen by us: one derivation here, and never more than COUNTERS there, where chance might mean many times
            # as much for somebody unlucky.
            counter=secrets.randbelow(round(COUNTERS * difficulty)),
            expires_at=now + LONGEST_AGE,
            data={"site": site, "given": int(now.timestamp() * 1000)},
            hmac_secret=self._signing,
            hmac_key_secret=self._key_signing,
        )
        return challenge.to_dict()

    def verify(self, payload: str | None, site: str) -> VerifiedChallenge:
        """Check a solution. Raises ForbiddenError: challenge_missing, _wrong, _expired or _too_fast."""
        if not payload:
            raise ForbiddenError("challenge_missing", "Solve a challenge from GET /v1/challenge, or use an API key.")
        try:
            solved = Payload.from_base64(payload)
        except (ValueError, KeyError, TypeError, RecursionError):
            raise _wrong() from None
        result = verify_solution(solved, self._signing, hmac_key_secret=self._key_signing)
        if result.expired:
            raise _expired()
        if not result.verified:
            raise _wrong()
        signed = solved.challenge.parameters
        data: dict[str, Any] = signed.data or {}
        if data["site"] != site:
            raise ForbiddenError("challenge_wrong", "The challenge was given for another site.")
        given = datetime.fromtimestamp(data["given"] / 1000, UTC)
        age = self._clock() - given
        if age < SHORTEST_AGE:
            wait = (SHORTEST_AGE - age).total_seconds()
            raise ForbiddenError(
                "challenge_too_fast", "Nobody types so fast: wait a second and send it again.", retry_after=wait
            )
        if age > LONGEST_AGE:
            raise _expired()
        return VerifiedChallenge(signed.nonce, given + LONGEST_AGE, age)


def _wrong() -> ForbiddenError:
    return ForbiddenError("challenge_wrong", "The challenge is not solved, or not one of ours.")


def _expired() -> ForbiddenError:
    return ForbiddenError("challenge_expired", "The challenge is more than ten minutes old: solve a new one.")


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return hmac.digest(secret, purpose, hashlib.sha256)
