"""Errors however they are born: each is answered in the one shape of errors.py, without what was sent."""

import logging
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

# What a field error of pydantic is called on the wire, where its own name is not clear enough.
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
    """Name the refusals of an endpoint's own; documentation.py adds their shape, and those that every endpoint has.

    ``default`` keeps FastAPI from promising its own shape of a 422, and is taken out again.
    """
    named: dict[int | str, str] = {status: reason_phrase(status) for status in statuses}
    return {status: {"description": description} for status, description in (named | {"default": "Any other"}).items()}


def register_exception_handlers(app: FastAPI) -> None:
    """Register the handlers."""
    # A slash too many is another address. The redirect would repeat the Host header, which the caller wrote.
    app.router.redirect_slashes = False

    @app.exception_handler(ServiceError)
    async def _refused(request: Request, error: ServiceError) -> Response:
        _log(error.status, error.code, error.errors)
        return error_response(error, request.state.request_id)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        faults = error.errors()
        if any(fault["type"] == "json_invalid" or fault["loc"] == ("body",) for fault in faults):
            return _http_problem(request, 400)
        return await _refused(request, invalid(_field_errors(faults)))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        return _http_problem(request, error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, _error: Exception) -> Response:
        # The error goes on to the envelope, which logs it.
        return unexpected_response(request.state.request_id)


def _http_problem(request: Request, status: int, headers: Any = None) -> Response:
    code, detail = _HTTP.get(status, (HTTPStatus(status).name.lower(), HTTPStatus(status).description))
    _log(status, code)
    response = problem_response(status, code, detail, request_id=request.state.request_id)
    response.headers.update(headers or {})
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = ", ".join(_methods_at(request))
    return response


def _methods_at(request: Request) -> list[str]:
    """Give all methods of an address: the router tells those of the first route only that has the path."""
    routes = request.app.router.routes
    asked = {name: value for name, value in request.scope.items() if name != "fastapi"}
    return [
        method
        for method in _METHODS
        if any(route.matches(asked | {"method": method})[0] is Match.FULL for route in routes)
    ]


def _log(status: int, code: str, errors: Sequence[FieldError] = ()) -> None:
    event(log, "http.refused", status=status, code=code, fields=sorted({error.code for error in errors}))


def _field_errors(faults: Sequence[Any]) -> list[FieldError]:
    """Give one error for each field.

    A union reports the faults of each branch: the branch that was meant is the one that could be followed deepest.
    """
    deepest: dict[str, Any] = {}
    for fault in faults:
        name = _field(fault)
        if name not in deepest or len(fault["loc"]) > len(deepest[name]["loc"]):
            deepest[name] = fault
    errors = []
    for name, fault in deepest.items():
        code = _CODES.get(fault["type"], fault["type"])
        errors.append(FieldError(name, code, _DETAILS.get(code, fault["msg"] + ".")))
    return errors


def _field(fault: Any) -> str:
    # The name of an unknown field is the caller's own text: its place is told by what it stands in.
    unknown = fault["type"] == "extra_forbidden"
    where = fault["loc"][:-1] if unknown else fault["loc"]
    return str(where[1] if len(where) > 1 else where[0])
