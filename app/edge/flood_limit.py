"""Rate limit per client bucket or API key for one process, without I/O. It protects this process.

slowapi counts in memory, in an ASGI middleware around the whole application. So refused requests, invalid bodies and
unknown paths count as well. Its decorator on a route would count only requests with a valid body.
People and money are protected by the exact quotas of the outbox.
"""

import inspect
import time
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import IPv6Address

from limits import RateLimitItem
from slowapi import Limiter
from slowapi.errors import RateLimitExceeded
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.edge.api_keys import OPERATOR, caller_of
from app.edge.bounded_storage import BoundedStorage
from app.errors import TooManyRequestsError, UnauthenticatedError, error_response
from app.net.client_address import NO_ADDRESS, Address, buckets
from app.settings import ApiKey

_COUNTED = "/v1/"
_READ = ("GET", "HEAD")
# One page view reads the site's settings, and most page views send no request.
_READ_MULTIPLIER = 10

_Check = Callable[[Request], Awaitable[None]]
_Key = Callable[[Request], str]


class FloodLimit:
    """Middleware that refuses requests over the limit under `/v1/` with 429.

    Reads are counted apart, with ten times the limit: every page view of every visitor behind one address reads the
    site's settings. A request with a known API key is counted by that key, from any address. One with an unknown key
    is counted by its client. The operator's are not counted: a command pages through a million callbacks.

    Stores `api_key` in the request's state: the name of the known key, or None.
    """

    def __init__(self, app: ASGIApp, limit: tuple[RateLimitItem, ...], api_keys: Mapping[str, ApiKey]) -> None:
        self._app = app
        self._api_keys = api_keys
        storage = f"{BoundedStorage.STORAGE_SCHEME[0]}://"
        self._limiter = Limiter(key_func=_bucket(0), strategy="fixed-window", storage_uri=storage, key_style="endpoint")
        # slowapi reads .env in the working directory, and RATELIMIT_ENABLED=false in it would disable the limit.
        self._limiter.enabled = True
        # An IPv6 client is counted in its /64, /56 and /48, an IPv4 client in its address alone.
        self._checks = {
            (client.version, reads): self._limiter_for(client, limit, _READ_MULTIPLIER if reads else 1)
            for client in (NO_ADDRESS, IPv6Address("::"))
            for reads in (True, False)
        }
        self._keyed = {
            reads: self._limiter_for(None, limit, _READ_MULTIPLIER if reads else 1) for reads in (True, False)
        }

    def _limiter_for(self, client: Address | None, limit: tuple[RateLimitItem, ...], multiplier: int) -> _Check:
        """Return a function that counts a request by its client's buckets, or by its API key if `client` is None."""

        async def flood(request: Request) -> None:
            """Do nothing: slowapi's decorators count the request and raise RateLimitExceeded."""

        flood.__name__ = f"flood_ipv{client.version}_{multiplier}" if client else f"flood_key_{multiplier}"
        # A wider bucket holds several subscribers, so its limit is a multiple.
        by = [(_bucket(n), bucket.weight) for n, bucket in enumerate(buckets(client))] if client else [(_api_key, 1)]
        # All decorators on one function: slowapi checks each request only once, by the first decorated function.
        counted: _Check = flood
        for key, weight in by:
            value = ";".join(
                f"{item.amount * weight * multiplier}/{item.multiples} {item.GRANULARITY.name}" for item in limit
            )
            counted = self._limiter.limit(value, key_func=key)(counted)
        return counted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the request, then pass it to the application or respond with 429."""
        if scope["type"] != "http" or not scope["path"].startswith(_COUNTED):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        api_key = request.state.api_key = self._key_of(request)
        if api_key == OPERATOR:
            await self._app(scope, receive, send)
            return
        reads = request.method in _READ
        try:
            if api_key is None:
                await self._checks[request.state.client_address.version, reads](request)
            else:
                await self._keyed[reads](request)
        except RateLimitExceeded:
            refused = TooManyRequestsError(
                "rate_limited", "Too many requests. Please slow down.", retry_after=self._retry_after(request)
            )
            await error_response(refused, request.state.request_id)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _key_of(self, request: Request) -> str | None:
        try:
            return caller_of(request, self._api_keys)
        except UnauthenticatedError:
            return None

    def _retry_after(self, request: Request) -> float:
        limit, names = request.state.view_rate_limit
        return float(self._limiter.limiter.get_window_stats(limit, *names).reset_time - time.time())


def _bucket(depth: int) -> _Key:
    def key(request: Request) -> str:
        bucket: str = request.state.client_buckets[depth].key
        return bucket

    return _with_signature(key)


def _api_key(request: Request) -> str:
    name: str = request.state.api_key
    return name


def _with_signature(key: _Key) -> _Key:
    """Cache the signature on the function: slowapi inspects it per request, which costs more than counting."""
    key.__signature__ = inspect.signature(key)  # type: ignore[attr-defined]
    return key


_with_signature(_api_key)
