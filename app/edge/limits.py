"""The flood limit: how many requests one client bucket may send to this process. Costs no I/O.

slowapi counts, in memory, and in an ASGI layer around the whole application, so that refused requests, unreadable
bodies and unknown paths count too (its decorator on a route counts only requests whose body validated). It protects
this process. People and money are protected by the quotas in the outbox, which are exact.
"""

import time
from collections.abc import Awaitable, Callable
from ipaddress import IPv6Address

from limits import RateLimitItem
from slowapi import Limiter
from slowapi.errors import RateLimitExceeded
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.edge.client_address import NO_ADDRESS, Address, buckets
from app.edge.counters import Counters
from app.errors import TooMany, refused_response

_COUNTED = "/v1/"
_READ = ("GET", "HEAD")
_READS = 10  # what one visitor's page reads for one request that it sends, and some page views without one


class FloodLimit:
    """Refuses with 429 what goes over the limit under ``/v1/``.

    Reading is counted apart, and may be done ten times as often: every page view of every visitor behind one address
    reads the site's settings.
    """

    def __init__(self, app: ASGIApp, limit: tuple[RateLimitItem, ...]) -> None:
        self._app = app
        storage = f"{Counters.STORAGE_SCHEME[0]}://"
        self._limiter = Limiter(key_func=_bucket(0), strategy="fixed-window", storage_uri=storage, key_style="endpoint")
        # slowapi reads a .env in the working directory by itself, and a line there could switch it off.
        self._limiter.enabled = True
        # An IPv6 client is counted in its /64, /56 and /48; an IPv4 client only in its own address.
        self._checks = {
            (client.version, reads): self._check(client, limit, _READS if reads else 1)
            for client in (NO_ADDRESS, IPv6Address("::"))
            for reads in (True, False)
        }

    def _check(
        self, client: Address, limit: tuple[RateLimitItem, ...], times: int
    ) -> Callable[[Request], Awaitable[None]]:
        async def flood(request: Request) -> None:
            """Be counted: the decorators do the work."""

        flood.__name__ = f"flood_ipv{client.version}_{times}"
        # All decorators on one function: slowapi checks a request once, whatever it is shown to afterwards.
        counted: Callable[[Request], Awaitable[None]] = flood
        for depth, bucket in enumerate(buckets(client)):
            # A wider bucket holds several subscribers, so it may send that many times more.
            value = ";".join(
                f"{item.amount * bucket.weight * times}/{item.multiples} {item.GRANULARITY.name}" for item in limit
            )
            counted = self._limiter.limit(value, key_func=_bucket(depth))(counted)
        return counted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the request, then let it pass or refuse it."""
        if scope["type"] != "http" or not scope["path"].startswith(_COUNTED):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            await self._checks[request.state.client_address.version, request.method in _READ](request)
        except RateLimitExceeded:
            refused = TooMany("flood", "Too many requests. Please slow down.", retry_after=self._wait(request))
            await refused_response(refused, request.state.request_id)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _wait(self, request: Request) -> float:
        limit, names = request.state.view_rate_limit
        return float(self._limiter.limiter.get_window_stats(limit, *names).reset_time - time.time())


def _bucket(depth: int) -> Callable[[Request], str]:
    def key(request: Request) -> str:
        bucket: str = request.state.client_buckets[depth].key
        return bucket

    return key
