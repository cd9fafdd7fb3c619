"""Bodies: at most 16 KiB, and JSON in UTF-8 only. The size is held by FastAPI's max_body_size, set in main.py."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from app.errors import Malformed, WrongMediaType

MAX_BODY_SIZE = 16 * 1024


def require_json(content_type: str | None) -> None:
    """Accept ``application/json``, with no charset or utf-8 (RFC 8259 knows no other). Raises WrongMediaType."""
    media, *parameters = (part.strip().lower() for part in (content_type or "").split(";"))
    charsets = [value.strip('"') for name, _, value in (p.partition("=") for p in parameters) if name == "charset"]
    if media != "application/json" or any(charset not in ("utf-8", "utf8") for charset in charsets):
        raise WrongMediaType("not_json", "Send the body as JSON: Content-Type: application/json, in UTF-8.")


def require_utf8(body: bytes) -> None:
    """Refuse what is not UTF-8, and a byte order mark (RFC 8259, 8.1). Raises Malformed."""
    try:
        body.decode()
    except UnicodeDecodeError:
        wrong = True
    else:
        # A zero byte means UTF-16 or UTF-32, which Python's json would read.
        wrong = body.startswith(b"\xef\xbb\xbf") or b"\0" in body
    if wrong:
        raise Malformed("not_utf8", "The body must be UTF-8, without a byte order mark and zero bytes.")


class JsonRoute(APIRoute):
    """A route whose body is checked before FastAPI reads it: FastAPI takes any ``+json`` type and UTF-16."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Put the check before the handler."""
        handler = super().get_route_handler()
        takes_body = self.body_field is not None

        async def checked(request: Request) -> Response:
            if takes_body:
                require_json(request.headers.get("content-type"))
                require_utf8(await request.body())
            return await handler(request)

        return checked
