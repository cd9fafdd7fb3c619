"""Checks of request bodies: at most 16 KiB, only JSON in UTF-8, nested at most 100 levels deep."""

import re
from collections.abc import Callable, Coroutine
from typing import Any, get_type_hints

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import BadRequestError, ContentTooLargeError, UnsupportedMediaTypeError, error_response

MAX_BODY_SIZE = 16 * 1024
"""Bytes."""
MAX_NESTING = 100
"""Levels of arrays and objects."""
# An unclosed string matches up to the end. Otherwise each quote in it would start another search to the end.
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_BRACKET = re.compile(rb"[][{}]")


class BodyLimit:
    """Middleware that reads the whole body before it calls the application, and refuses a larger one with 413.

    Most refusals then follow the whole request. One that precedes the rest of its body can be lost, because the
    arriving rest resets a closed connection. It needs no time limit: connections.py closes the connection of a body
    that misses the deadline. Starlette's own limit responds in plain text, and may replace a response that has been
    made already.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application once the body is complete. A client that disconnects before gets no response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        # uvicorn has already refused a Content-Length that is no number.
        size, body, more = int(declared) if declared.isdecimal() else 0, bytearray(), True
        while more and max(size, len(body)) <= MAX_BODY_SIZE:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if max(size, len(body)) > MAX_BODY_SIZE:
            too_large = ContentTooLargeError("too_large", "The body is too large: at most 16 KiB.")
            await error_response(too_large, scope["state"]["request_id"])(scope, receive, send)
            return
        messages = iter(({"type": "http.request", "body": bytes(body), "more_body": False},))

        async def receive_whole() -> Message:
            return next(messages, None) or await receive()

        await self._app(scope, receive_whole, send)


def require_json(content_type: str | None) -> None:
    """Require `application/json` without charset or with utf-8 (RFC 8259). Raises UnsupportedMediaTypeError."""
    media, *parameters = (part.strip().lower() for part in (content_type or "").split(";"))
    charsets = [value.strip('"') for name, _, value in (p.partition("=") for p in parameters) if name == "charset"]
    if media != "application/json" or any(charset not in ("utf-8", "utf8") for charset in charsets):
        raise UnsupportedMediaTypeError("not_json", "Send the body as JSON: Content-Type: application/json, in UTF-8.")


def require_utf8(body: bytes) -> None:
    """Require UTF-8 without a byte order mark (RFC 8259, section 8.1). Raises BadRequestError."""
    try:
        body.decode()
    except UnicodeDecodeError:
        invalid = True
    else:
        # A zero byte means UTF-16 or UTF-32, which Python's json module would accept.
        invalid = body.startswith(b"\xef\xbb\xbf") or b"\0" in body
    if invalid:
        raise BadRequestError("not_utf8", "The body must be UTF-8, without a byte order mark and zero bytes.")


def require_shallow(body: bytes) -> None:
    """Refuse JSON that is nested deeper than `MAX_NESTING`. Raises HTTPException with status 400.

    Python's json module has its own limit, which differs between versions: 1,000 or 10,000 levels, or none.
    """
    if body.count(b"[") + body.count(b"{") <= MAX_NESTING:
        return
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", body)):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_NESTING:
            raise HTTPException(400)


class JsonRoute(APIRoute):
    """A route whose body is checked before FastAPI parses it: FastAPI accepts any `+json` type and UTF-16."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, with the checks before it if the route has a body."""
        handler = super().get_route_handler()
        has_body = self.body_field is not None

        async def checked(request: Request) -> Response:
            if has_body:
                await _checked_body(request)
            return await handler(request)

        return checked


class HotRoute(APIRoute):
    """A route for many requests a second. Its endpoint takes `body`, a pydantic model, and `request`, and no more.

    pydantic reads a valid body straight from the bytes. FastAPI's own handler would use a tenth of the CPU of an
    accepted request: it parses the JSON in Python and resolves dependencies.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return a handler that validates the body and calls the endpoint."""
        endpoint, model = self.endpoint, get_type_hints(self.endpoint)["body"]
        by_fastapi = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                body = model.model_validate_json(await _checked_body(request))
            except ValidationError:
                # FastAPI reports the errors. It accepts lone surrogates in text, at which pydantic's parser stops.
                return await by_fastapi(request)
            response: Response = await endpoint(body, request)
            return response

        return handle


async def _checked_body(request: Request) -> bytes:
    require_json(request.headers.get("content-type"))
    body = await request.body()
    require_utf8(body)
    require_shallow(body)
    return body
