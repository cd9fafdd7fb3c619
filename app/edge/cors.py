"""CORS as the outermost middleware, so that a page can also read a 413, a 429 and a 500."""

import logging
import uuid
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Send

from app.errors import SECURITY_HEADERS, problem_response
from app.logs import event
from app.metrics import Metrics
from app.net.origins import Origins, union_regex

log = logging.getLogger(__name__)


class Cors(CORSMiddleware):
    """Starlette's CORS middleware for the origins of all sites together. Routes check that an origin fits its site."""

    def __init__(self, app: ASGIApp, sites: Iterable[Origins], metrics: Metrics) -> None:
        self._metrics = metrics
        super().__init__(
            app,
            allow_origin_regex=union_regex(sites),
            allow_methods=("GET", "POST"),
            allow_headers=("Authorization", "Content-Type", "Idempotency-Key"),
            expose_headers=("Idempotency-Replayed", "Retry-After", "X-Request-Id"),
            max_age=86_400,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """Return the response to a preflight. A refused one is problem+json, where Starlette sends plain text."""
        response = super().preflight_response(request_headers)
        if response.status_code == 200:
            response.headers.update(SECURITY_HEADERS)
            return response
        # A preflight never reaches RequestContextMiddleware, so its id, log event and metric are made here.
        request_id = str(uuid.uuid4())
        code = "preflight_refused"
        detail = "This page's origin is in no site's ORIGINS, or the method or a header is not allowed."
        event(log, "http.refused", status=403, code=code, request_id=request_id)
        self._metrics.refused(code)
        refused = problem_response(403, code, detail, request_id=request_id)
        for name in ("Access-Control-Allow-Origin", "Vary"):
            if name in response.headers:
                refused.headers[name] = response.headers[name]
        return refused

    async def send(self, message: Message, send: Send, request_headers: Headers) -> None:
        """Send one ASGI message of a response, with the CORS headers unless its route allows any origin.

        Starlette would add `Vary: Origin` there too, and caches would store one copy per page that embeds the widget.
        """
        is_start = message["type"] == "http.response.start"
        if is_start and Headers(raw=message.get("headers", [])).get("Access-Control-Allow-Origin") != "*":
            await super().send(message, send, request_headers)
        else:
            await send(message)
