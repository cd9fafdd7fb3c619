"""Context of every request: its id, client address, security headers, log event, metrics and the last error handler."""

import logging
import time
import uuid
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.edge.untrusted_proxy import UntrustedProxyDetector
from app.errors import SECURITY_HEADERS, unexpected_response
from app.logs import event
from app.logs import request_id as current_request_id
from app.metrics import Metrics
from app.net.client_address import Address, buckets, client_address
from app.random_pool import random_bytes

log = logging.getLogger(__name__)

_SECURITY = Headers(SECURITY_HEADERS).raw
_UNLOGGED = ("/livez", "/readyz", "/metrics")
# The strict default policy would block the scripts of HTML pages that have no policy of their own.
_PAGE_SECURITY = Headers({**SECURITY_HEADERS, "Content-Security-Policy": "frame-ancestors 'none'"}).raw
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


class RequestContextMiddleware:
    """The outermost middleware below CORS.

    Stores `request_id`, `client_address` and `client_buckets` (narrowest first) in the request's state.
    """

    def __init__(self, app: ASGIApp, trusted: Sequence[IPv4Network | IPv6Network], metrics: Metrics) -> None:
        self._app = app
        self._trusted = trusted
        self._metrics = metrics
        self._proxy_detector = UntrustedProxyDetector()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request. An unexpected exception is logged and becomes a 500 that does not show its text."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = str(uuid.UUID(bytes=random_bytes(), version=4))
        current_request_id.set(request_id)
        address = self._address(scope)
        context = {"request_id": request_id, "client_address": address, "client_buckets": buckets(address)}
        scope.setdefault("state", {}).update(context)
        status, finished = 0, False
        began = time.perf_counter()

        async def sending(message: Message) -> None:
            nonlocal status, finished
            if message["type"] == "http.response.start":
                status = message["status"]
                own = dict(message["headers"])
                added = _PAGE_SECURITY if own.get(b"content-type", b"").startswith(b"text/html") else _SECURITY
                added = [(b"x-request-id", request_id.encode()), *added]
                message["headers"] = [*message["headers"], *(header for header in added if header[0] not in own)]
            await send(message)
            finished = message["type"] == "http.response.body" and not message.get("more_body", False)

        try:
            await self._app(scope, receive, sending)
        except Exception:
            log.exception("http.unexpected_error")
            if not status:
                await unexpected_response(request_id)(scope, receive, sending)
            elif not finished:
                raise  # too late for a 500; uvicorn closes the connection
        finally:
            if "refused" in scope["state"]:
                self._metrics.refused(*scope["state"]["refused"])
            # Without a status the client disconnected before its request was complete. An accepted request has its own
            # line with the same id, and a second one would use a twentieth of its CPU.
            if status and scope["path"] not in _UNLOGGED and "accepted" not in scope["state"]:
                duration = round((time.perf_counter() - began) * 1000, 1)
                # The route's pattern, not the path: an unknown path is a client's free text and may hold personal data.
                route = getattr(scope.get("route"), "path", None)
                # Unusual methods are a client's free text as well.
                method = scope["method"] if scope["method"] in _METHODS else "other"
                event(log, "http.request", method=method, route=route, status=status, duration_ms=duration)

    def _address(self, scope: Scope) -> Address:
        peer = scope["client"][0] if scope.get("client") else None
        forwarded = Headers(scope=scope).getlist("x-forwarded-for")
        if not self._trusted and self._proxy_detector.observe(peer, bool(forwarded)):
            advice = "all visitors share one proxy's address and its limits: list that proxy in TRUSTED_PROXIES"
            event(log, "edge.untrusted_proxy", logging.WARNING, advice=advice)
        return client_address(peer, forwarded, self._trusted)
