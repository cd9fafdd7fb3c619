"""Exception handlers: every error becomes a problem document of `errors.py`, without any text of the request."""

import logging
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from app.errors import (
    FieldError,
    ServiceError,
    error_response,
    invalid,
    problem_response,
    reason_phrase,
    unexpected_response,
)
from app.logs import event

log = logging.getLogger(__name__)

# Error codes for pydantic's error types. Other types are their own codes.
_CODES = {
    "missing": "required",
    "extra_forbidden": "unknown_field",
    "string_pattern_mismatch": "invalid_format",
    "string_too_long": "too_long",
    "string_unicode": "not_unicode",
    "timezone_aware": "timezone_missing",
}
_DETAILS = {
    "required": "This field is needed.",
    "unknown_field": "This field is not known here.",
    "too_long": "This is too long.",
    "timezone_missing": "Add a time zone, such as 2026-01-31T10:00:00+03:00.",
}
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_HTTP = {
    400: ("malformed", "The request can't be read: send one JSON object."),
    404: ("not_found", "There is nothing at this address."),
    405: ("method_not_allowed", "This address doesn't take that method."),
}


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` argument of a route for its error statuses.

    `openapi.py` adds their schema and the errors that every endpoint may return. It also removes `default`, which only
    keeps FastAPI from documenting its own schema of a 422.
    """
    phrases: dict[int | str, str] = {status: reason_phrase(status) for status in statuses}
    return {status: {"description": phrase} for status, phrase in (phrases | {"default": "Any other"}).items()}


def register_exception_handlers(app: FastAPI) -> None:
    """Register the exception handlers of an application, and switch off its redirects of trailing slashes."""
    # Such a redirect would repeat the Host header, which the client wrote. A path with one slash more is a 404.
    app.router.redirect_slashes = False

    @app.exception_handler(ServiceError)
    async def _refused(request: Request, error: ServiceError) -> Response:
        _log(error.status, error.code, error.errors)
        return error_response(error, request.state.request_id)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        errors = error.errors()
        if any(each["type"] == "json_invalid" or each["loc"] == ("body",) for each in errors):
            return _http_problem(request, 400)
        return await _refused(request, invalid(_field_errors(errors)))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        return _http_problem(request, error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, _error: Exception) -> Response:
        # Starlette raises the error again after this response: RequestContextMiddleware logs it.
        return unexpected_response(request.state.request_id)


def _http_problem(request: Request, status: int, headers: Any = None) -> Response:
    phrase = reason_phrase(status)
    code, detail = _HTTP.get(status, (re.sub(r"\W+", "_", phrase.lower()), f"{phrase}."))
    _log(status, code)
    response = problem_response(status, code, detail, request_id=request.state.request_id)
    response.headers.update(headers or {})
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = ", ".join(_methods_at(request))
    return response


def _methods_at(request: Request) -> list[str]:
    """Return all methods of a path. The router's own Allow header has only those of the first matching route."""
    routes = request.app.router.routes
    scope = {name: value for name, value in request.scope.items() if name != "fastapi"}
    return [
        method
        for method in _METHODS
        if any(route.matches(scope | {"method": method})[0] is Match.FULL for route in routes)
    ]


def _log(status: int, code: str, errors: Sequence[FieldError] = ()) -> None:
    event(log, "http.refused", status=status, code=code, fields=sorted({error.code for error in errors}))


def _field_errors(details: Sequence[Any]) -> list[FieldError]:
    """Return one error for each field, from pydantic's error details.

    A union reports errors of each of its branches. The one with the deepest location is of the branch that fits best.
    """
    deepest: dict[str, Any] = {}
    for detail in details:
        name = _field(detail)
        if name not in deepest or len(detail["loc"]) > len(deepest[name]["loc"]):
            deepest[name] = detail
    errors = []
    for name, detail in deepest.items():
        code = _CODES.get(detail["type"], detail["type"])
        errors.append(FieldError(name, code, _DETAILS.get(code, detail["msg"] + ".")))
    return errors


def _field(detail: Any) -> str:
    # The name of an unknown field is text of the client, which is never repeated: the name of its parent is returned.
    unknown = detail["type"] == "extra_forbidden"
    location = detail["loc"][:-1] if unknown else detail["loc"]
    return str(location[1] if len(location) > 1 else location[0])
