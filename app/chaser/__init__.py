"""A typed client for the Chaser API (telephone callbacks). It does not depend on the rest of the service.

    async with ChaserClient(client_id, private_key) as chaser:
        sites = await chaser.websites()
        await chaser.call(Call(site_id=sites[0].id, client_phone="79161234567"))

`chaser_errors` lists the errors; `signing`, `api_models` and `outcome` are pure and can be used without the client.
"""

from .api_models import Call, NwtAction, StatisticsFilter, Website
from .chaser_errors import (
    ChaserError,
    Forbidden,
    InvalidParameter,
    NotFound,
    NotSent,
    OutcomeUnknown,
    Rejected,
    Unauthorized,
    Unavailable,
    UnreadableAnswer,
)
from .client import API_URL, CallResult, ChaserClient

__all__ = [
    "API_URL",
    "Call",
    "CallResult",
    "ChaserClient",
    "ChaserError",
    "Forbidden",
    "InvalidParameter",
    "NotFound",
    "NotSent",
    "NwtAction",
    "OutcomeUnknown",
    "Rejected",
    "StatisticsFilter",
    "Unauthorized",
    "Unavailable",
    "UnreadableAnswer",
    "Website",
]
