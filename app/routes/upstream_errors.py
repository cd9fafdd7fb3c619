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


_TRANSLATIONS: dict[type[ChaserError], tuple[type[ServiceError], str, str]] = {
    Unauthorized: (
        BadGatewayError,
        "account_refused",
        f"Chaser refuses the account this service uses: its operator should check {_ACCOUNT}.",
    ),
    Forbidden: (
        BadGatewayError,
        "account_forbidden",
        "Chaser forbids this to the account this service uses: ask Chaser for its permissions.",
    ),
    NotFound: (
        NotFoundError,
        "unknown_site_id",
        "Chaser has no such site for this account: see GET /v1/websites.",
    ),
    Rejected: (BadGatewayError, "chaser_rejected", "Chaser rejected the parameters with {}: send others."),
    Unavailable: (UnavailableError, "chaser_busy", "Chaser is overloaded: try again later."),
    NotSent: (UnavailableError, "chaser_unreachable", "Chaser can't be reached: try again later."),
    UnreadableAnswer: (
        BadGatewayError,
        "chaser_unreadable",
        "Chaser's response can't be read, or is over 8 MiB: request fewer days.",
    ),
}
"""Status, code and detail by error."""
_SILENT = (GatewayTimeoutError, "upstream_timeout", "Chaser did not respond in time: try again later.")
_FAILED = (BadGatewayError, "chaser_failed", "Chaser failed with {}: try again later.")


def translate_error(error: ChaserError) -> ServiceError:
    """Return the error response for an error of the Chaser client, and log it."""
    event(log, "chaser.refused", logging.WARNING, error=type(error).__name__, http_status=error.status)
    kind, code, detail = _TRANSLATIONS.get(type(error)) or (_SILENT if error.status is None else _FAILED)
    wait = _RETRY_AFTER if error.retry_after is None else error.retry_after
    retry_after = wait if issubclass(kind, UnavailableError | GatewayTimeoutError) else None
    return kind(code, detail.format(error.status), retry_after=retry_after)
