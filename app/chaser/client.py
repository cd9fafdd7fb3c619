"""Sends signed requests to Chaser with HTTPX; a thin adapter around the pure modules beside it."""

import asyncio
import math
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from types import TracebackType
from typing import Any, Self

import httpx2
from pydantic import SecretStr

from . import api_models
from .chaser_errors import InvalidParameter
from .http_request import ConnectionTracker, base_address, build_request
from .log_redaction import quiet
from .outcome import EXCERPT_BYTES, Exchange, error_of, retry_after_seconds, unreadable
from .signing import Parameters, encodable, request_body

API_URL = "https://api.chaser.ru/v1/"
LARGEST_ANSWER = 8 * 1024 * 1024
"""Bytes of a `websites` or `statistics` answer above which it is not read on."""


@dataclass(frozen=True, slots=True)
class CallResult:
    """Chaser answered `call` with 200: it is done. `duration` is in seconds, the excerpt at most 2 KiB of the body.

    What the body says is not documented, so nothing is read from it, and a cut body is a success as well.
    """

    status: int
    body_excerpt: str = field(repr=False)
    duration: float


class ChaserClient:
    """A client for one Chaser account.

    `client_id` and `private_key` are what Chaser gave the account. `timeout` is one total deadline in seconds for a
    whole request, from the look-up of the name to the last byte read, however slowly bytes drip.

    Each request has a connection of its own. No redirects are followed, no cookies kept, and proxy variables of the
    environment are not read: telephone numbers and signatures must not travel through a proxy that was set up for
    another program, and whose own errors would pass for Chaser's. To use a proxy or certificates on purpose pass a
    `transport`, say `httpx2.AsyncHTTPTransport(proxy=…, trust_env=False)`; the client closes it.

    `clock` gives the present time with a zone; only a Retry-After that is a date is counted from it. Needs asyncio.
    Raises InvalidParameter for an account, address or timeout that cannot be used.
    """

    # Stand-ins, so that a client whose account is being refused has a repr for the traceback.
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
        self._client_id = str(client_id)
        self._private_key = private_key
        if not encodable("client_id", self._client_id):
            raise InvalidParameter("client_id", "must not be empty")
        _check_key(private_key)
        self._api_url = base_address(api_url)
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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the transport. Requests still running are broken off."""
        await self._transport.aclose()

    async def websites(self) -> list[api_models.Website]:
        """Return the sites of the account. Raises a ChaserError (see `errors`) for anything but a readable 200."""
        exchange = await self._ask("websites", [])
        try:
            return api_models.read_websites(bytes(exchange.body))
        except ValueError as error:
            exchange.failure = str(error)
        raise unreadable(exchange)

    async def statistics(
        self,
        site_id: int,
        date_from: date | None = None,
        date_to: date | None = None,
        filter: api_models.StatisticsFilter | None = None,  # noqa: A002  (Chaser's own name for it)
    ) -> list[dict[str, Any]]:
        """Return the calls of a site as Chaser sends them; their fields are not documented.

        The dates are the first and the last day asked for; in which time zone a day begins is not documented.
        Raises InvalidParameter before anything is sent, else a ChaserError for anything but a readable 200.
        """
        parameters = api_models.statistics_parameters(site_id, date_from, date_to, filter)
        exchange = await self._ask("statistics", parameters)
        try:
            return api_models.read_statistics(bytes(exchange.body))
        except ValueError as error:
            exchange.failure = str(error)
        raise unreadable(exchange)

    async def call(self, call: api_models.Call) -> CallResult:
        """Ask Chaser to phone. Returns for the status 200 and nothing else; a second identical `call` phones again.

        Raises a ChaserError, of which only NotSent and Unavailable prove that repeating it phones nobody twice. A
        cancelled `call` may have been executed: cancellation passes through as it is.
        """
        exchange = Exchange()
        await self._run(exchange, self._transfer(exchange, "POST", "call", call.parameters(), EXCERPT_BYTES))
        error = error_of(exchange)
        if error is not None:
            raise error
        return CallResult(status=200, body_excerpt=exchange.body_excerpt, duration=exchange.duration)

    async def _ask(self, method: str, parameters: Parameters) -> Exchange:
        exchange = Exchange()
        await self._run(exchange, self._transfer(exchange, "GET", method, parameters, LARGEST_ANSWER))
        error = error_of(exchange) if exchange.status != 200 or exchange.complete else unreadable(exchange)
        if error is not None:
            raise error
        return exchange

    async def _run(self, exchange: Exchange, transfer: Coroutine[Any, Any, None]) -> None:
        """Run a transfer under the deadline and note how it ended. Raises nothing but a cancellation.

        The frames of a transfer hold the signed request and the answer in the clear, and tools print the local
        variables of a traceback. So no exception leaves from there with its traceback: a failure becomes a value, and
        a cancellation loses the inner part of its traceback.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            with quiet():
                async with asyncio.timeout(self._timeout):
                    await transfer
        except asyncio.CancelledError as cancelled:
            cancelled.__traceback__ = cancelled.__context__ = None
            raise
        except TimeoutError:
            exchange.failure = f"the deadline of {self._timeout:g} s passed"
        except Exception as error:  # noqa: BLE001  (whatever it was, the caller must learn what it proves)
            exchange.failure = _described(error, exchange.sent)
        exchange.duration = loop.time() - started

    async def _transfer(self, exchange: Exchange, verb: str, method: str, parameters: Parameters, wanted: int) -> None:
        signed = request_body(parameters, self._client_id, self._private_key.get_secret_value())
        opened = ConnectionTracker()
        request = build_request(exchange, opened, self._api_url, verb, method, signed)
        try:
            response = await self._transport.handle_async_request(request)
        except BaseException:
            if not exchange.sent:
                await opened.aclose()
            raise
        try:
            exchange.status = response.status_code
            exchange.retry_after = retry_after_seconds(response.headers.get("Retry-After"), self._clock())
            limit = wanted if exchange.status == 200 else EXCERPT_BYTES
            async with aclosing(response.aiter_raw()) as chunks:
                async for chunk in chunks:
                    exchange.body += chunk
                    if len(exchange.body) > limit:
                        exchange.failure = f"larger than {limit} bytes"
                        return
            exchange.complete = True
        finally:
            await response.aclose()


def _described(error: Exception, sent: bool) -> str:
    """Name a failure. Its text is added only where nothing was sent, so that it cannot hold an echo."""
    kind = type(error).__name__
    return f"{kind}: {error}" if isinstance(error, httpx2.ConnectError) and not sent else kind


def _check_key(private_key: SecretStr) -> None:
    if not private_key.get_secret_value():
        raise InvalidParameter("private_key", "must not be empty")
    try:
        encodable("private_key", private_key.get_secret_value())
    except InvalidParameter as error:
        refusal = error.with_traceback(None)  # The frame below holds the key.
    else:
        return
    raise refusal
