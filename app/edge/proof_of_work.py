"""Proof of work: little for one visitor's browser, much for a client that sends thousands of requests.

It is ALTCHA's (altcha.org, version 2): find the counter whose derived key has the required prefix. The challenge is
signed and carries all that verification needs, so an issued challenge is not stored. The outbox stores used nonces.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True)
class _Keys:
    """The keys derived from one secret: of the challenges' signatures, and of the signatures of their solutions."""

    challenge: bytes = field(repr=False)
    solution: bytes = field(repr=False)

    @classmethod
    def derive(cls, secret: bytes) -> "_Keys":
        return cls(*(hmac.digest(secret, purpose, hashlib.sha256) for purpose in (b"challenge", b"challenge key")))

    def verify(self, solution: Payload) -> bool:
        """Return whether these keys signed the challenge, and it is solved. Raises ForbiddenError if it expired."""
        result = verify_solution(solution, self.challenge, hmac_key_secret=self.solution)
        if result.expired:
            raise _expired()
        return bool(result.verified)


class Challenges:
    """Issues challenges and verifies solutions. `secret` signs the challenges, `clock` returns the time in UTC.

    `previous` is a secret that signed them until a time, None if there is none. Challenges of that time stay valid.
    """

    def __init__(
        self, secret: bytes, clock: Callable[[], datetime], previous: tuple[bytes, datetime] | None = None
    ) -> None:
        self._keys = _Keys.derive(secret)
        self._previous = previous and (_Keys.derive(previous[0]), previous[1])
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
            hmac_secret=self._keys.challenge,
            hmac_key_secret=self._keys.solution,
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
        is_verified, before = self._keys.verify(solution), None
        if not is_verified and self._previous is not None:
            is_verified, before = self._previous[0].verify(solution), self._previous[1]
        if not is_verified:
            raise _wrong()
        signed = solution.challenge.parameters
        data: dict[str, Any] = signed.data or {}
        if data["site"] != site:
            raise ForbiddenError("challenge_wrong", "The challenge was issued for another site.")
        issued_at = datetime.fromtimestamp(data["given"] / 1000, UTC)
        if before is not None and issued_at > before:
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
