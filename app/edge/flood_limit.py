"""The flood limit: how many requests one client bucket, or one API key, may send to this process. Costs no I/O.

slowapi counts, in memory, and in an ASGI layer around the whole application, so that refused requests, unreadable
bodies and unknown paths count too (its decorator on a route counts only requests whose body validated). It protects
this process. People and money are protected by the quotas in the outbox, which are exact.
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

from app.edge.api_keys import key_of
from app.edge.bounded_storage import BoundedStorage
from app.edge.operator_key import OPERATOR
from app.errors import TooManyRequestsError, UnauthenticatedError, error_response
from app.net.client_address import NO_ADDRESS, Address, buckets
from app.settings import ApiKey

_COUNTED = "/v1/"
_READ = ("GET", "HEAD")
_READS = 10  # what one visitor's page reads for one request that it sends, and some page views without one

_Check = Callable[[Request], Awaitable[None]]
_Key = Callable[[Request], str]


class FloodLimit:
    """Refuses with 429 what goes over the limit under ``/v1/``.

    Reading is counted apart, and may be done ten times as often: every page view of every visitor behind one address
    reads the site's settings. A request with a known API key is counted by that key, wherever it comes from; a guess
    by its client. Whoever has the operator's key is not counted: the terminal reads a million callbacks in pages.

    Puts ``api_key``, the name of a known key or None, into the request's state.
    """

    def __init__(self, app: ASGIApp, limit: tuple[RateLimitItem, ...], api_keys: Mapping[str, ApiKey]) -> None:
        self._app = app
        self._api_keys = api_keys
        storage = f"{BoundedStorage.STORAGE_SCHEME[0]}://"
        self._limiter = Limiter(key_func=_bucket(0), strategy="fixed-window", storage_uri=storage, key_style="endpoint")
        # slowapi reads a .env in the working directory by itself, and a line there could switch it off.
        self._limiter.enabled = True
        # An IPv6 client is counted in its /64, /56 and /48; an IPv4 client only in its own address.
        self._checks = {
            (client.version, reads): self._check(client, limit, _READS if reads else 1)
            for client in (NO_ADDRESS, IPv6Address("::"))
            for reads in (True, False)
        }
        self._keyed = {reads: self._check(None, limit, _READS if reads else 1) for reads in (True, False)}

    def _check(self, client: Address | None, limit: tuple[RateLimitItem, ...], times: int) -> _Check:
        """Make what counts a request by its client's buckets, or by its key where ``client`` is None."""

        async def flood(request: Request) -> None:
            """Be counted: the decorators do the work."""

        flood.__name__ = f"flood_ipv{client.version}_{times}" if client else f"flood_key_{times}"
        # A wider bucket holds several subscribers, so it may send that many times more.
        by = [(_bucket(n), bucket.weight) for n, bucket in enumerate(buckets(client))] if client else [(_api_key, 1)]
        # All decorators on one function: slowapi checks a request once, whatever it is shown to afterwards.
        counted: _Check = flood
        for key, weight in by:
            value = ";".join(
                f"{item.amount * weight * times}/{item.multiples} {item.GRANULARITY.name}" for item in limit
            )
            counted = self._limiter.limit(value, key_func=key)(counted)
        return counted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the request, then let it pass or refuse it."""
        if scope["type"] != "http" or not scope["path"].startswith(_COUNTED):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        api_key = request.state.api_key = self._known(request)
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
                "rate_limited", "Too many requests. Please slow down.", retry_after=self._wait(request)
            )
            await error_response(refused, request.state.request_id)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _known(self, request: Request) -> str | None:
        try:
            return key_of(request.headers.get("authorization"), self._api_keys)
        except UnauthenticatedError:
            return None

    def _wait(self, request: Request) -> float:
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
    """Keep the signature with the function: slowapi asks for it each time, which costs more than to count."""
    key.__signature__ = inspect.signature(key)  # type: ignore[attr-defined]
    return key


_with_signature(_api_key)
