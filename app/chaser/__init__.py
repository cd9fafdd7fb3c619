"""A typed client for the Chaser API (telephone call-backs). It knows nothing of the service around it.

    async with ChaserClient(client_id, private_key) as chaser:
        sites = await chaser.websites()
        await chaser.call(Call(site_id=sites[0].id, client_phone="79161234567"))

`errors` draws the tree of what can go wrong; `signing` and `wire` are pure and can be used without the client.
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
