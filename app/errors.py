"""Every error response of the service, as an exception and as a problem document.

    ServiceError                       base class: status, code, detail, errors, retry_after
    ├── BadRequestError           400  the request can't be parsed
    ├── UnauthenticatedError      401  no API key, or an unknown one
    ├── ForbiddenError            403  the origin or the API key lacks the permission
    ├── NotFoundError             404
    ├── ConflictError             409  the current state doesn't allow the request
    ├── ContentTooLargeError      413
    ├── UnsupportedMediaTypeError 415
    ├── UnprocessableContentError 422  a value is invalid: see errors
    ├── TooManyRequestsError      429  a limit is reached: see retry_after
    ├── BadGatewayError           502  Chaser refuses the service, or its response can't be parsed
    ├── UnavailableError          503  not accepted, retry later
    └── GatewayTimeoutError       504  no response from Chaser

The format is `application/problem+json` (RFC 9457) with three members of our own: `code`, a stable code for programs;
`errors`, the invalid fields; `request_id`, to find the log line. No text of the caller is repeated.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import ClassVar

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

MEDIA_TYPE = "application/problem+json"
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Default headers of every response. A response that is a page, or a part of one, sets its own.

The last one keeps responses out of other sites' processes. It doesn't affect CORS requests of allowed origins.
"""


RFC_9110_PHRASES = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
"""Python before 3.13 has the phrases of older RFCs: the title of an error would depend on the Python version."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """An invalid field: its name, a stable code, and a sentence that says how to fix it."""

    field: str
    code: str
    detail: str


class ServiceError(Exception):
    """Base class of errors with a stable code. `retry_after`: seconds, rounded up in the response."""

    status: ClassVar[int] = 500

    def __init__(
        self, code: str, detail: str, *, errors: Sequence[FieldError] = (), retry_after: float | None = None
    ) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.retry_after = retry_after


class BadRequestError(ServiceError):
    """The request can't be parsed."""

    status = 400


class UnauthenticatedError(ServiceError):
    """An API key is required but missing, or it is unknown."""

    status = 401


class ForbiddenError(ServiceError):
    """The origin or the API key lacks the permission."""

    status = 403


class NotFoundError(ServiceError):
    """The resource doesn't exist."""

    status = 404


class ConflictError(ServiceError):
    """The current state of the resource doesn't allow the request."""

    status = 409


class ContentTooLargeError(ServiceError):
    """The body is larger than the service accepts."""

    status = 413


class UnsupportedMediaTypeError(ServiceError):
    """The body is not JSON in UTF-8."""

    status = 415


class UnprocessableContentError(ServiceError):
    """The request can be parsed, but a value in it is invalid."""

    status = 422


class TooManyRequestsError(ServiceError):
    """A limit is reached."""

    status = 429


class BadGatewayError(ServiceError):
    """Chaser refuses this service, or its response can't be parsed."""

    status = 502


class UnavailableError(ServiceError):
    """The service can't accept the request now, for example because the database is unavailable."""

    status = 503


class GatewayTimeoutError(ServiceError):
    """Chaser sent no response."""

    status = 504


def reason_phrase(status: int) -> str:
    """Return the reason phrase of a status, the same on every Python."""
    return RFC_9110_PHRASES.get(status) or HTTPStatus(status).phrase


class ProblemResponse(JSONResponse):
    """An error response. It stores its code and errors in `scope["state"]["refused"]`, where middleware reads them."""

    refused: tuple[str, Sequence[FieldError]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Store the code and errors in the scope, then send the response."""
        scope.setdefault("state", {})["refused"] = self.refused
        await super().__call__(scope, receive, send)


def invalid(errors: Sequence[FieldError]) -> UnprocessableContentError:
    """Return the error of a request with invalid fields."""
    return UnprocessableContentError("invalid", "Some values need correction: see errors.", errors=errors)


def problem_response(
    status: int,
    code: str,
    detail: str,
    *,
    request_id: str,
    errors: Sequence[FieldError] = (),
    retry_after: float | None = None,
) -> ProblemResponse:
    """Return an error as an `application/problem+json` response. `retry_after`: seconds, rounded up, at least 1.

    It has all headers: some errors are sent outside the middleware that otherwise adds them.
    """
    body: dict[str, object] = {
        "type": "about:blank",
        "title": reason_phrase(status),
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": request_id,
    }
    if errors:
        body["errors"] = [asdict(error) for error in errors]
    headers = {"Cache-Control": "no-store", "X-Request-Id": request_id, **SECURITY_HEADERS}
    if retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(retry_after)))
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    response = ProblemResponse(body, status, headers, MEDIA_TYPE)
    response.refused = (code, errors)
    return response


def error_response(error: ServiceError, request_id: str) -> ProblemResponse:
    """Return the response of a ServiceError."""
    return problem_response(
        error.status,
        error.code,
        error.detail,
        request_id=request_id,
        errors=error.errors,
        retry_after=error.retry_after,
    )


def unexpected_response(request_id: str) -> ProblemResponse:
    """Return the response of an unhandled exception. It contains nothing about the exception."""
    detail = "Something went wrong on our side. Please try again."
    return problem_response(500, "internal", detail, request_id=request_id)
