"""Bodies: at most 16 KiB, and JSON in UTF-8 only, nested at most 100 levels deep."""

import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import BadRequestError, ContentTooLargeError, UnsupportedMediaTypeError, error_response

MAX_BODY_SIZE = 16 * 1024
MAX_NESTING = 100
# Of a string that has no end, all that is left is matched: else each quote in it would begin another search to the end.
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_BRACKET = re.compile(rb"[][{}]")


class BodyLimit:
    """Refuses a larger body: at once where its length is declared, else when too much has been read.

    A slow one never comes here: connections.py waits for it, and refuses it when its time is over. Starlette's own
    limit answers in plain text, also in place of an answer that is already made.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request pass, or refuse it. Inside the application, reading raises ContentTooLargeError."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        too_large = ContentTooLargeError("too_large", "The body is too large: at most 16 KiB.")
        declared = Headers(scope=scope).get("content-length", "0")
        # The server has refused by now what is no number.
        if declared.isdecimal() and int(declared) > MAX_BODY_SIZE:
            await error_response(too_large, scope["state"]["request_id"])(scope, receive, send)
            return
        read = 0

        async def receiving() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > MAX_BODY_SIZE:
                raise too_large
            return message

        await self._app(scope, receiving, send)


def require_json(content_type: str | None) -> None:
    """Accept `application/json` without charset or with utf-8 (RFC 8259). Raises UnsupportedMediaTypeError."""
    media, *parameters = (part.strip().lower() for part in (content_type or "").split(";"))
    charsets = [value.strip('"') for name, _, value in (p.partition("=") for p in parameters) if name == "charset"]
    if media != "application/json" or any(charset not in ("utf-8", "utf8") for charset in charsets):
        raise UnsupportedMediaTypeError("not_json", "Send the body as JSON: Content-Type: application/json, in UTF-8.")


def require_utf8(body: bytes) -> None:
    """Refuse what is not UTF-8, and a byte order mark (RFC 8259, 8.1). Raises BadRequestError."""
    try:
        body.decode()
    except UnicodeDecodeError:
        wrong = True
    else:
        # A zero byte means UTF-16 or UTF-32, which Python's json would read.
        wrong = body.startswith(b"\xef\xbb\xbf") or b"\0" in body
    if wrong:
        raise BadRequestError("not_utf8", "The body must be UTF-8, without a byte order mark and zero bytes.")


def require_shallow(body: bytes) -> None:
    """Refuse JSON that is nested deeper than `MAX_NESTING`. Raises HTTPException.

    Python's json has a limit of its own, which differs between its versions: 1,000 or 10,000 levels, or none.
    """
    if body.count(b"[") + body.count(b"{") <= MAX_NESTING:
        return
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", body)):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_NESTING:
            raise HTTPException(400)


class JsonRoute(APIRoute):
    """A route whose body is checked before FastAPI reads it: FastAPI takes any ``+json`` type and UTF-16."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Put the check before the handler."""
        handler = super().get_route_handler()
        takes_body = self.body_field is not None

        async def checked(request: Request) -> Response:
            if takes_body:
                require_json(request.headers.get("content-type"))
                body = await _whole_body(request)
                require_utf8(body)
                require_shallow(body)
            return await handler(request)

        return checked


async def _whole_body(request: Request) -> bytes:
    try:
        return await request.body()
    except ClientDisconnect:
        # Nobody reads the answer. It keeps a visitor who went away from looking like a fault of ours in the log.
        raise BadRequestError("body_incomplete", "The connection ended before the body did.") from None
