"""Probe each account with one signed `websites` request, which rings no phone."""

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx2

from app.chaser import ChaserError, Website
from app.cli.chaser_query import chaser_client
from app.cli.clock_check import DateSample

if TYPE_CHECKING:
    from app.settings import Settings


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The result for one account: `error` is None on success, `date` is None without a Date header."""

    account: str
    sites: tuple[Website, ...]
    error: ChaserError | None
    date: DateSample | None


class _DateRecorder(httpx2.AsyncHTTPTransport):
    """A transport that records the Date header of the response, which ChaserClient drops."""

    sample: DateSample | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request and record the date of its response."""
        sent = time.time()
        response = await super().handle_async_request(request)
        if date := response.headers.get("date"):
            self.sample = DateSample(date, sent, time.time())
        return response


async def probe(settings: "Settings") -> list[ProbeResult]:
    """Probe all accounts concurrently, each within the timeout of the settings, and return a result for each."""
    return await asyncio.gather(*(_probe_account(settings, account) for account, _ in settings.accounts()))


async def _probe_account(settings: "Settings", account: str) -> ProbeResult:
    transport = _DateRecorder(trust_env=False)
    async with chaser_client(settings, account, transport) as chaser:
        try:
            sites = await chaser.websites()
        except ChaserError as error:
            return ProbeResult(account, (), error, transport.sample)
    return ProbeResult(account, tuple(sites), None, transport.sample)
