"""Proof of work: little for one visitor's browser, much for a client that sends thousands of requests.

It is ALTCHA's (altcha.org, version 2): find the counter whose derived key has the required prefix. The challenge is
signed and carries all that verification needs, so an issued challenge is not stored. The outbox stores used nonces.
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

ALGORITHM: Final = "PBKDF2/SHA-256"  # built into browsers, and runs outside the page's main thread
COST: Final = 2000
"""Rounds of one derivation: about half a millisecond."""
COUNTERS: Final = 60
"""Derivations needed at most at difficulty 1; on average half as many."""
LONGEST_AGE: Final = timedelta(minutes=10)
SHORTEST_AGE: Final = timedelta(seconds=1)
"""No person reads the form, types a number and sends it in less."""


@dataclass(frozen=True, slots=True)
class VerifiedChallenge:
    """A challenge solved in time for its site: its nonce, the end of its validity in UTC, and its age.

    The nonce must be stored until `expires_at`, or the solution could be used twice.
    """

    nonce: str
    expires_at: datetime
    age: timedelta


class Challenges:
    """Issues challenges and verifies solutions. `secret` signs the challenges, `clock` returns the time in UTC.

    Challenges issued after `until` are not valid. `former` verifies those that this secret did not sign.
    """

    def __init__(
        self,
        secret: bytes,
        clock: Callable[[], datetime],
        *,
        until: datetime | None = None,
        former: "Challenges | None" = None,
    ) -> None:
        self._signing = _derived(secret, b"challenge")
        self._key_signing = _derived(secret, b"challenge key")
        self._until = until
        self._former = former
        self._clock = clock

    def issue(self, site: str, difficulty: float) -> dict[str, Any]:
        """Return a new challenge for a site, as JSON for the browser. `difficulty` multiplies COUNTERS, from 1 on."""
        now = self._clock()
        challenge = create_challenge(
            ALGORITHM,
            COST,
            # Chosen here at the price of one derivation. A prefix left to chance would have no upper bound, and some
            # visitors would need many times COUNTERS.
            counter=secrets.randbelow(round(COUNTERS * difficulty)),
            expires_at=now + LONGEST_AGE,
            data={"site": site, "given": int(now.timestamp() * 1000)},
            hmac_secret=self._signing,
            hmac_key_secret=self._key_signing,
        )
        return challenge.to_dict()

    def verify(self, payload: str | None, site: str) -> VerifiedChallenge:
        """Verify a solution for a site. `payload` is the browser's text in ALTCHA's base64.

        Raises ForbiddenError with the code challenge_missing, challenge_wrong, challenge_expired or challenge_too_fast.
        """
        if not payload:
            raise ForbiddenError("challenge_missing", "Solve a challenge from GET /v1/challenge, or use an API key.")
        try:
            solution = Payload.from_base64(payload)
        except (ValueError, KeyError, TypeError, RecursionError):
            raise _wrong() from None
        result = verify_solution(solution, self._signing, hmac_key_secret=self._key_signing)
        if result.expired:
            raise _expired()
        if not result.verified and self._former is not None:
            return self._former.verify(payload, site)
        if not result.verified:
            raise _wrong()
        signed = solution.challenge.parameters
        data: dict[str, Any] = signed.data or {}
        if data["site"] != site:
            raise ForbiddenError("challenge_wrong", "The challenge was issued for another site.")
        issued_at = datetime.fromtimestamp(data["given"] / 1000, UTC)
        if self._until is not None and issued_at > self._until:
            raise _wrong()
        age = self._clock() - issued_at
        if age < SHORTEST_AGE:
            wait = (SHORTEST_AGE - age).total_seconds()
            raise ForbiddenError(
                "challenge_too_fast",
                "This came too soon after the challenge: wait a second and send it again.",
                retry_after=wait,
            )
        if age > LONGEST_AGE:
            raise _expired()
        return VerifiedChallenge(signed.nonce, issued_at + LONGEST_AGE, age)


def _wrong() -> ForbiddenError:
    return ForbiddenError("challenge_wrong", "The challenge is not solved, or was not issued by this service.")


def _expired() -> ForbiddenError:
    return ForbiddenError("challenge_expired", "The challenge is more than ten minutes old: solve a new one.")


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return hmac.digest(secret, purpose, hashlib.sha256)
