"""The client: sends signed requests to Chaser with HTTPX. A thin adapter around the pure modules of this package."""

import asyncio
import math
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, TypeVar

import httpx2
from pydantic import SecretStr

from . import api_models
from .chaser_errors import InvalidParameter
from .http_request import build_request, parse_base_url, trace_connections
from .log_redaction import redact_logs
from .outcome import EXCERPT_BYTES, Exchange, error_of, retry_after_seconds, unreadable
from .signing import Parameters, request_body

_Answer = TypeVar("_Answer")

API_URL = "https://api.chaser.ru/v1/"
LARGEST_ANSWER = 8 * 1024 * 1024
"""Largest response of `websites` or `statistics` that is read, in bytes."""


@dataclass(frozen=True, slots=True)
class CallResult:
    """Result of a `call` that Chaser answered with 200. `duration` in seconds, `body_excerpt` at most 2 KiB.

    The content of the body is not documented, so it is not parsed, and a truncated body is a success too.
    """

    status: int
    body_excerpt: str = field(repr=False)
    duration: float


class ChaserClient(AbstractAsyncContextManager["ChaserClient"]):
    """A client for one Chaser account.

    `client_id` and `private_key`: the account's credentials. `timeout`: the total deadline of a request in seconds,
    from the DNS query to the last byte read. It applies however slowly the server sends.

    Each request uses a new connection. Redirects are not followed, and cookies are not kept. Proxy variables of the
    environment are ignored: phone numbers and signatures must not pass a proxy that was configured for another
    program, and its errors would look like Chaser's. To use a proxy or other certificates pass a `transport`, for
    example `httpx2.AsyncHTTPTransport(proxy=…, trust_env=False)`; the client closes it.

    `clock` returns the current time with a time zone; it is used only for a Retry-After that is a date. Needs asyncio.
    Raises InvalidParameter for credentials, a URL or a timeout that cannot be used.
    """

    # Defaults for __repr__ in a traceback, when __init__ raises before it has assigned them.
    _client_id = ""
    _api_url = httpx2.URL("")

    def __init__(
        self,
        client_id: str | int,
        private_key: SecretStr | str,
        *,
        api_url: str = API_URL,
        timeout: float = 10.0,
        transport: httpx2.AsyncBaseTransport | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        private_key = private_key if isinstance(private_key, SecretStr) else SecretStr(private_key)
        self._client_id = api_models.validated("client_id", str(client_id))
        self._private_key = private_key
        api_models.validated("private_key", private_key.get_secret_value())
        self._api_url = parse_base_url(api_url)
        if not math.isfinite(timeout) or timeout <= 0:
            raise InvalidParameter("timeout", "must be a number of seconds above 0")
        self._timeout = timeout
        self._clock = clock
        if transport is None:
            limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
            transport = httpx2.AsyncHTTPTransport(trust_env=False, limits=limits)
        self._transport = transport

    def __repr__(self) -> str:
        return f"ChaserClient(client_id={self._client_id!r}, api_url={str(self._api_url)!r})"

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the transport. Requests in flight are aborted."""
        await self._transport.aclose()

    async def websites(self) -> list[api_models.Website]:
        """Return the sites of the account. Raises ChaserError for anything but a readable 200."""
        return await self._get("websites", [], api_models.read_websites)

    async def statistics(
        self,
        site_id: int,
        date_from: date | None = None,
        date_to: date | None = None,
        filter: api_models.StatisticsFilter | None = None,  # noqa: A002  (Chaser's name)
    ) -> list[dict[str, Any]]:
        """Return the calls of a site as Chaser sends them; their fields are not documented.

        `date_from` and `date_to`: the first and the last day; the time zone of a day is not documented.
        Raises InvalidParameter before anything is sent, and ChaserError for anything but a readable 200.
        """
        parameters = api_models.statistics_parameters(site_id, date_from, date_to, filter)
        return await self._get("statistics", parameters, api_models.read_objects)

    async def call(self, call: api_models.Call) -> CallResult:
        """Request a telephone call. Returns only for the status 200. An identical second `call` phones them again.

        Raises ChaserError. Only after NotSent and Unavailable is a retry safe: it cannot phone the visitor twice. A
        cancelled `call` may have been executed; the cancellation is raised unchanged.
        """
        exchange = await self._exchange("POST", "call", call.parameters(), EXCERPT_BYTES)
        error = error_of(exchange)
        if error is not None:
            raise error
        return CallResult(status=200, body_excerpt=exchange.body_excerpt, duration=exchange.duration)

    async def _get(self, method: str, parameters: Parameters, read: Callable[[bytes], _Answer]) -> _Answer:
        exchange = await self._exchange("GET", method, parameters, LARGEST_ANSWER)
        error = error_of(exchange) if exchange.status != 200 or exchange.complete else unreadable(exchange)
        if error is not None:
            raise error
        try:
            return read(bytes(exchange.body))
        except ValueError as unread:
            exchange.failure = str(unread)
        raise unreadable(exchange)

    async def _exchange(self, verb: str, method: str, parameters: Parameters, max_body: int) -> Exchange:
        """Send a request under the deadline, and record how it ended. Raises nothing but a cancellation.

        The frames of a transfer contain the signed request and the response in clear text, and error trackers print
        the local variables of a traceback. So a failure becomes a value, and a cancellation loses the inner part of
        its traceback.
        """
        exchange = Exchange()
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            with redact_logs():
                async with asyncio.timeout(self._timeout):
                    await self._transfer(exchange, verb, method, parameters, max_body)
        except asyncio.CancelledError as cancelled:
            cancelled.__traceback__ = cancelled.__context__ = None
            raise
        except TimeoutError:
            exchange.failure = f"the deadline of {self._timeout:g} s passed"
        except Exception as error:  # noqa: BLE001  (any failure must become an outcome)
            exchange.failure = _describe(error, exchange.sent)
        exchange.duration = loop.time() - started
        return exchange

    async def _transfer(
        self, exchange: Exchange, verb: str, method: str, parameters: Parameters, max_body: int
    ) -> None:
        signed = request_body(parameters, self._client_id, self._private_key.get_secret_value())
        opened = AsyncExitStack()
        request = build_request(exchange, trace_connections(opened), self._api_url, verb, method, signed)
        try:
            response = await self._transport.handle_async_request(request)
        except BaseException:
            if not exchange.sent:
                await opened.aclose()
            raise
        try:
            exchange.status = response.status_code
            exchange.retry_after = retry_after_seconds(response.headers.get("Retry-After"), self._clock())
            limit = max_body if exchange.status == 200 else EXCERPT_BYTES
            async with aclosing(response.aiter_raw()) as chunks:
                async for chunk in chunks:
                    exchange.body += chunk
                    if len(exchange.body) > limit:
                        exchange.failure = f"larger than {limit} bytes"
                        return
            exchange.complete = True
        finally:
            await response.aclose()


def _describe(error: Exception, sent: bool) -> str:
    """Return the type of a failure. Its text is added only if nothing was sent, so it cannot echo the request."""
    kind = type(error).__name__
    return f"{kind}: {error}" if isinstance(error, httpx2.ConnectError) and not sent else kind
