"""CORS, as the outermost layer: also a 413, a 429 and a 500 must be readable for the page that asked."""

import logging
import uuid
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from app.edge.envelope import SECURITY_HEADERS
from app.edge.origins import Origins, union_regex
from app.errors import problem_response
from app.logs import event

log = logging.getLogger(__name__)


class Cors(CORSMiddleware):
    """Starlette's CORS for the origins of all sites. Whether an origin may ask for its site, the route decides."""

    def __init__(self, app: ASGIApp, sites: Iterable[Origins]) -> None:
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
            return response
        # A preflight never reaches the envelope, so the id, the headers and the log line are made here.
        request_id = str(uuid.uuid4())
        code = "preflight_refused"
        detail = "This page may not ask: its origin is in no site's ORIGINS, or the method or a header is not allowed."
        event(log, "http.refused", status=403, code=code, request_id=request_id)
        refused = problem_response(403, code, detail, request_id=request_id)
        refused.headers.update({"X-Request-Id": request_id, **SECURITY_HEADERS})
        for name in ("Access-Control-Allow-Origin", "Vary"):
            if name in response.headers:
                refused.headers[name] = response.headers[name]
        return refused

    @staticmethod
    def allow_explicit_origin(headers: MutableHeaders, origin: str) -> None:
        """Allow one origin to read the answer; what any page may read stays so, one answer for every cache."""
        if headers.get("Access-Control-Allow-Origin") != "*":
            CORSMiddleware.allow_explicit_origin(headers, origin)
