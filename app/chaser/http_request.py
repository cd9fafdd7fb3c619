"""HTTP requests for the transport: URL, headers, and the signed bytes unchanged."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, TypeAlias

import httpx2

from .chaser_errors import InvalidParameter
from .outcome import Exchange

_HEADERS = {
    "User-Agent": "chaser-python",
    "Accept": "*/*",
    "Accept-Encoding": "identity",  # limits count the bytes received
    # On a keep-alive connection the server may close just as we send: a needless unknown outcome.
    "Connection": "close",
}


def parse_base_url(api_url: str) -> httpx2.URL:
    """Return the URL with exactly one slash at its end. Raises InvalidParameter if it cannot be used."""
    try:
        url = httpx2.URL(api_url)
    except httpx2.InvalidURL:
        url = httpx2.URL("")
    valid = url.scheme in {"http", "https"} and url.raw_host and (url.port is None or 0 < url.port < 65536)
    if not valid or url.userinfo or "?" in api_url or "#" in api_url:
        raise InvalidParameter("api_url", "must be an http or https URL without user name, query and fragment")
    return url.copy_with(raw_path=url.raw_path.rstrip(b"/") + b"/")


class Body(httpx2.AsyncByteStream):
    """The request's body. Sets `exchange.sent` when the transport reads it.

    A transport reads the body after it has connected and sent the head. So a failure before that proves that a `call`
    was not sent: the head of a POST contains the method and no parameter. The head of a GET contains everything, but
    repeating a GET does no harm.
    """

    def __init__(self, exchange: Exchange, content: bytes) -> None:
        self._exchange = exchange
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._exchange.sent = True
        if self._content:
            yield self._content


Trace: TypeAlias = Callable[[str, Mapping[str, Any]], Awaitable[None]]
"""httpcore2 calls it at every step of a request: with the name of the event, and its data."""


def trace_connections(opened: AsyncExitStack) -> Trace:
    """Return a trace that has every connection of a request closed by `opened`. Closing one twice does no harm.

    httpcore2 2.16 loses the socket of a TLS handshake that is timed out or cancelled: it stays open until it is garbage
    collected.
    """

    async def trace(event: str, info: Mapping[str, Any]) -> None:
        if event.endswith("connect_tcp.complete"):
            opened.push_async_callback(info["return_value"].aclose)

    return trace


def build_request(
    exchange: Exchange, trace: Trace, api_url: httpx2.URL, verb: str, method: str, signed: bytes
) -> httpx2.Request:
    """Return the request for a method of Chaser. `verb`: GET or POST; `signed`: query or body, sent unchanged."""
    path = api_url.raw_path + method.encode("ascii")
    headers = {"Host": api_url.netloc.decode("ascii"), **_HEADERS}
    if verb == "GET":
        # `raw_path` percent-encodes unsafe characters. Signed bytes contain none, so they stay unchanged.
        url, content = api_url.copy_with(raw_path=path + b"?" + signed), b""
    else:
        url, content = api_url.copy_with(raw_path=path), signed
        headers |= {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": str(len(signed))}
    return httpx2.Request(verb, url, headers=headers, stream=Body(exchange, content), extensions={"trace": trace})
