"""Builds what is handed to the transport: the address, the headers, and the signed bytes as they are."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2

from .chaser_errors import InvalidParameter
from .outcome import Exchange

_HEADERS = {
    "User-Agent": "chaser-python",
    "Accept": "*/*",
    "Accept-Encoding": "identity",  # What arrives is what is counted against the limits.
    # On a kept-alive connection the far side may be closing just as we send: an unknown outcome that needn't be.
    "Connection": "close",
}


def base_address(api_url: str) -> httpx2.URL:
    """Return the address with exactly one slash at its end; raise InvalidParameter if it cannot be used."""
    try:
        url = httpx2.URL(api_url)
    except httpx2.InvalidURL:
        url = httpx2.URL("")
    right = url.scheme in {"http", "https"} and url.raw_host and (url.port is None or 0 < url.port < 65536)
    if not right or url.userinfo or "?" in api_url or "#" in api_url:
        raise InvalidParameter("api_url", "must be an http or https address without user name, query and fragment")
    return url.copy_with(raw_path=url.raw_path.rstrip(b"/") + b"/")


class Body(httpx2.AsyncByteStream):
    """The request's body, which notes in the exchange that it has been asked for.

    A transport asks for the body after it has connected and handed over the head, and on this rests what a failure
    proves. The head of a POST names the method and nothing else; a GET, whose head is everything, has an empty body
    that is asked for all the same, and repeating a GET does no harm.
    """

    def __init__(self, exchange: Exchange, content: bytes) -> None:
        self._exchange = exchange
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._exchange.sent = True
        if self._content:
            yield self._content


class ConnectionTracker:
    """Remembers the connections opened for a request, to close what the layers below leave open.

    httpcore2 2.16 loses the socket of a TLS handshake that a deadline or a cancellation breaks off: it stays open until
    it is garbage collected. httpcore2 calls this at every step of a request (its `trace` extension).
    """

    def __init__(self) -> None:
        self._streams: list[Any] = []

    async def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        """Take one step of the trace: its name and what belongs to it."""
        if event.endswith("connect_tcp.complete"):
            self._streams.append(info["return_value"])

    async def aclose(self) -> None:
        """Close the connections; those that are closed already don't mind."""
        for stream in self._streams:
            await stream.aclose()


def build_request(
    exchange: Exchange, opened: ConnectionTracker, api_url: httpx2.URL, verb: str, method: str, signed: bytes
) -> httpx2.Request:
    """Build the request of a method with `GET` or `POST` so that the signed bytes go out as they are."""
    path = api_url.raw_path + method.encode("ascii")
    headers = {"Host": api_url.netloc.decode("ascii"), **_HEADERS}
    if verb == "GET":
        # `raw_path` quotes what is unsafe in a URL; signed bytes contain nothing of that kind, so they stay.
        url, content = api_url.copy_with(raw_path=path + b"?" + signed), b""
    else:
        url, content = api_url.copy_with(raw_path=path), signed
        headers |= {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": str(len(signed))}
    return httpx2.Request(verb, url, headers=headers, stream=Body(exchange, content), extensions={"trace": opened})
