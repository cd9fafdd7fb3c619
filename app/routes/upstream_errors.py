"""Translation of Chaser's errors into those of this service. No text of Chaser's response is passed on."""

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

_RETRY_AFTER = 5.0  # seconds, if Chaser sends no Retry-After
_ACCOUNT = "CHASER__CLIENT_ID and CHASER__PRIVATE_KEY, or those of the site"


def translate_error(error: ChaserError) -> ServiceError:
    """Return the error response for an error of the Chaser client, and log it."""
    event(log, "chaser.refused", logging.WARNING, error=type(error).__name__, http_status=error.status)
    match error:
        case Unauthorized():
            return BadGatewayError(
                "account_refused",
                f"Chaser refuses the account this service uses: its operator should check {_ACCOUNT}.",
            )
        case Forbidden():
            return BadGatewayError(
                "account_forbidden",
                "Chaser forbids this to the account this service uses: ask Chaser for its permissions.",
            )
        case NotFound():
            return NotFoundError("unknown_site_id", "Chaser has no such site for this account: see GET /v1/websites.")
        case Rejected():
            return BadGatewayError(
                "chaser_rejected", f"Chaser rejected the parameters with {error.status}: send others."
            )
        case Unavailable():
            retry_after = _RETRY_AFTER if error.retry_after is None else error.retry_after
            return UnavailableError("chaser_busy", "Chaser is overloaded: try again later.", retry_after=retry_after)
        case NotSent():
            return UnavailableError(
                "chaser_unreachable", "Chaser can't be reached: try again later.", retry_after=_RETRY_AFTER
            )
        case UnreadableAnswer():
            return BadGatewayError(
                "chaser_unreadable", "Chaser's response can't be read, or is over 8 MiB: request fewer days."
            )
    if error.status is None:
        return GatewayTimeoutError(
            "upstream_timeout", "Chaser did not respond in time: try again later.", retry_after=_RETRY_AFTER
        )
    return BadGatewayError("chaser_failed", f"Chaser failed with {error.status}: try again later.")
