"""What Chaser did, as it is told to whoever asked through us. Nothing that Chaser said is repeated."""

import logging

from app.chaser import (
    ChaserError,
    Forbidden,
    NotFound,
    NotSent,
    Rejected,
    Unauthorized,
    Unavailable,
    UnreadableAnswer,
)
from app.errors import BadGatewayError, GatewayTimeoutError, NotFoundError, ServiceError, UnavailableError
from app.logs import event

log = logging.getLogger(__name__)

_AGAIN = 5.0  # seconds, where Chaser names none
_ACCOUNT = "CHASER__CLIENT_ID and CHASER__PRIVATE_KEY, or those of the site"


def translate_error(error: ChaserError) -> ServiceError:
    """Give the refusal for an error of the client, with what to do."""
    event(log, "chaser.refused", logging.WARNING, error=type(error).__name__, http_status=error.status)
    match error:
        case Unauthorized():
            return BadGatewayError(
                "account_refused",
                f"Chaser refuses the account this service uses: its operator should check {_ACCOUNT}.",
            )
        case Forbidden():
            return BadGatewayError(
                "account_forbidden", "Chaser forbids this to the account this service uses: ask Chaser what it may do."
            )
        case NotFound():
            return NotFoundError("unknown_site_id", "Chaser has no such site for this account: see GET /v1/websites.")
        case Rejected():
            return BadGatewayError(
                "chaser_rejected", f"Chaser rejects this question with {error.status}: ask another one."
            )
        case Unavailable():
            again = _AGAIN if error.retry_after is None else error.retry_after
            return UnavailableError("chaser_busy", "Chaser has no time now: ask again later.", retry_after=again)
        case NotSent():
            return UnavailableError(
                "chaser_unreachable", "Chaser can't be reached: ask again later.", retry_after=_AGAIN
            )
        case UnreadableAnswer():
            return BadGatewayError(
                "chaser_unreadable", "Chaser's answer can't be read, or is over 8 MiB: ask for fewer days."
            )
    if error.status is None:
        return GatewayTimeoutError(
            "upstream_timeout", "Chaser gave no answer in time: ask again later.", retry_after=_AGAIN
        )
    return BadGatewayError("chaser_failed", f"Chaser failed with {error.status}: ask again later.")
