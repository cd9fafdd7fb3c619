"""Rate limit per client bucket or API key for one process, without I/O. It protects this process.

slowapi counts in memory, in an ASGI middleware around the whole application. So refused requests, invalid bodies and
unknown paths count as well. Its decorator on a route would count only requests with a valid body.
People and money are protected by the exact quotas of the outbox.
"""

import os
import time
import warnings
from collections.abc import Mapping

from limits import RateLimitItem
from slowapi import Limiter
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.edge.api_keys import OPERATOR, caller_of
from app.edge.bounded_storage import BoundedStorage
from app.errors import TooManyRequestsError, UnauthenticatedError, error_response
from app.net.client_address import Bucket
from app.settings import ApiKey

_UNCOUNTED = "/livez"  # a flood must not look like a dead process, which would be restarted
_READ = ("GET", "HEAD")
# Most page views only read: the site's settings and the widget's files.
_READ_MULTIPLIER = 10


class FloodLimit:
    """Middleware that refuses requests over the limit with 429, on every path but `/livez`.

    Reads are counted apart, with ten times the limit: every page view of every visitor behind one address reads the
    site's settings and the widget's files. A request with a known API key is counted by that key, from any address.
    One with an unknown key is counted by its client: an IPv6 client in its /64, /56 and /48. The operator's are not
    counted: a command pages through a million callbacks.

    Stores `api_key` in the request's state: the name of the known key, or None.
    """

    def __init__(self, app: ASGIApp, limit: tuple[RateLimitItem, ...], api_keys: Mapping[str, ApiKey]) -> None:
        self._app = app
        self._api_keys = api_keys
        self._limit = limit
        with warnings.catch_warnings(action="ignore"):
            # Without a file named here slowapi reads .env in the working directory, and fails if it can't.
            limiter = Limiter(str, strategy="fixed-window", storage_uri=BoundedStorage.URI, config_filename=os.devnull)
        self._limiter = limiter.limiter
        self._items: dict[tuple[bool, int], list[RateLimitItem]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the request, then pass it to the application or respond with 429."""
        if scope["type"] == "http" and scope["path"] != _UNCOUNTED:
            state = scope["state"]
            api_key = state["api_key"] = self._key_of(scope)
            if api_key != OPERATOR:
                counted = state["client_buckets"] if api_key is None else (Bucket(f"key {api_key}", 1),)
                wait = self._wait(scope["method"] in _READ, counted)
                if wait is not None:
                    refused = TooManyRequestsError(
                        "rate_limited", "Too many requests. Please slow down.", retry_after=wait
                    )
                    await error_response(refused, state["request_id"])(scope, receive, send)
                    return
        await self._app(scope, receive, send)

    def _wait(self, reads: bool, buckets: tuple[Bucket, ...]) -> float | None:
        """Count a request in its buckets. Return the seconds until the first limit reached ends, None below all."""
        for bucket in buckets:
            for item in self._items_for(reads, bucket.weight):
                if not self._limiter.hit(item, bucket.key):
                    return float(self._limiter.get_window_stats(item, bucket.key).reset_time - time.time())
        return None

    def _items_for(self, reads: bool, weight: int) -> list[RateLimitItem]:
        """Return the limits of a bucket. A wider bucket holds several subscribers, so its limit is a multiple."""
        if (reads, weight) not in self._items:
            multiplier, namespace = (_READ_MULTIPLIER, "reads") if reads else (1, "writes")
            self._items[reads, weight] = [
                type(item)(item.amount * weight * multiplier, item.multiples, namespace) for item in self._limit
            ]
        return self._items[reads, weight]

    def _key_of(self, scope: Scope) -> str | None:
        try:
            return caller_of(Request(scope), self._api_keys)
        except UnauthenticatedError:
            return None
