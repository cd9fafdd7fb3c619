"""CORS, as the outermost layer: also a 413, a 429 and a 500 must be readable for the page that asked."""

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
    """Starlette's CORS for the origins of all sites. Whether an origin may ask for its site, the route decides."""

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
        """Answer a preflight; a refused one gets the common shape, where Starlette has plain text."""
        response = super().preflight_response(request_headers)
        if response.status_code == 200:
            response.headers.update(SECURITY_HEADERS)
            return response
        # A preflight never reaches the envelope, so the id, the log line and the count are made here.
        request_id = str(uuid.uuid4())
        code = "preflight_refused"
        detail = "This page may not ask: its origin is in no site's ORIGINS, or the method or a header is not allowed."
        event(log, "http.refused", status=403, code=code, request_id=request_id)
        self._metrics.refused(code)
        refused = problem_response(403, code, detail, request_id=request_id)
        for name in ("Access-Control-Allow-Origin", "Vary"):
            if name in response.headers:
                refused.headers[name] = response.headers[name]
        return refused

    async def send(self, message: Message, send: Send, request_headers: Headers) -> None:
        """Send one message of an answer on; what its route lets any page read stays as the route made it.

        Starlette would put Vary: Origin there too, and caches would keep one copy for each page that embeds the widget.
        """
        is_start = message["type"] == "http.response.start"
        if is_start and Headers(raw=message.get("headers", [])).get("Access-Control-Allow-Origin") != "*":
            await super().send(message, send, request_headers)
        else:
            await send(message)
