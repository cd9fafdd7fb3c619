"""Every refusal of the service, and its one shape on the wire.

    ServiceError                     what all have: status, code, detail, errors, retry_after
    ├── BadRequestError        400    the request can't be read
    ├── UnauthenticatedError  401    no key, or a key nobody knows
    ├── ForbiddenError        403    the origin or the key may not do this
    ├── NotFoundError         404
    ├── ConflictError         409    the state of things forbids it
    ├── ContentTooLargeError         413
    ├── UnsupportedMediaTypeError   415
    ├── UnprocessableContentError          422    readable, but a value is wrong: see errors
    ├── TooManyRequestsError          429    a limit: see retry_after
    ├── BadGatewayError       502    Chaser refuses us, or answers what can't be read
    ├── UnavailableError      503    not accepted, try again
    └── GatewayTimeoutError   504    Chaser gives no answer

The shape is ``application/problem+json`` of RFC 9457 with three members of our own: a stable ``code`` for programs,
``errors`` for the fields of a form, ``request_id`` to find the log line. Nothing the caller sent is ever repeated.
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
"""What every answer has, refusal or not, unless it brings its own: nothing here is a page or a part of one.

The last one keeps answers out of other sites' processes; pages of allowed origins read them by CORS, which it lets be.
"""


RFC_9110_PHRASES = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
"""Python before 3.13 has the phrases of older RFCs, so a refusal would have another title on each Python."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field: its name, a stable code, and a sentence with the cure."""

    field: str
    code: str
    detail: str


class ServiceError(Exception):
    """A refusal with a stable code. ``retry_after`` is in seconds and is rounded up on the wire."""

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
    """The request can't be read."""

    status = 400


class UnauthenticatedError(ServiceError):
    """No key where one is needed, or a key nobody knows."""

    status = 401


class ForbiddenError(ServiceError):
    """The origin, or the key, may not do this."""

    status = 403


class NotFoundError(ServiceError):
    """There is no such thing."""

    status = 404


class ConflictError(ServiceError):
    """The state of things forbids it."""

    status = 409


class ContentTooLargeError(ServiceError):
    """The body is larger than the service reads."""

    status = 413


class UnsupportedMediaTypeError(ServiceError):
    """The body is not JSON in UTF-8."""

    status = 415


class UnprocessableContentError(ServiceError):
    """The request is readable, but a value in it is wrong."""

    status = 422


class TooManyRequestsError(ServiceError):
    """A limit is reached."""

    status = 429


class BadGatewayError(ServiceError):
    """Chaser refuses this service, or its answer can't be read."""

    status = 502


class UnavailableError(ServiceError):
    """The request was not accepted through no fault of its own."""

    status = 503


class GatewayTimeoutError(ServiceError):
    """Chaser gave no answer."""

    status = 504


def reason_phrase(status: int) -> str:
    """Return the reason phrase of a status, the same on every Python."""
    return RFC_9110_PHRASES.get(status) or HTTPStatus(status).phrase


class ProblemResponse(JSONResponse):
    """A refusal on the wire. The layers around it find its code and errors in the request's state, as ``refused``."""

    refused: tuple[str, Sequence[FieldError]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Tell, and send it."""
        scope.setdefault("state", {})["refused"] = self.refused
        await super().__call__(scope, receive, send)


def invalid(errors: Sequence[FieldError]) -> UnprocessableContentError:
    """Make the refusal of a request whose ``errors`` tell what is wrong with its fields."""
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
    """Write a refusal as ``application/problem+json``. ``retry_after``: seconds, rounded up, at least 1.

    It has all its headers, for some refusals are made where nobody else adds any: below or above the application.
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


def error_response(refused: ServiceError, request_id: str) -> ProblemResponse:
    """Write a ServiceError as its response."""
    return problem_response(
        refused.status,
        refused.code,
        refused.detail,
        request_id=request_id,
        errors=refused.errors,
        retry_after=refused.retry_after,
    )


def unexpected_response(request_id: str) -> ProblemResponse:
    """Write what is told of an error that nobody expected: that it was not the caller's fault, and nothing else."""
    detail = "Something went wrong on our side. Please try again."
    return problem_response(500, "internal", detail, request_id=request_id)
