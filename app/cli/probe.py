"""One signed `websites` request for each account; it phones nobody."""

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx2

from app.chaser import ChaserError
from app.cli.chaser_query import client_of
from app.cli.clock_check import Dated

if TYPE_CHECKING:
    from app.settings import Settings


@dataclass(frozen=True, slots=True)
class Probed:
    """What came of it. `error` is None when Chaser took the request; `date` None when its answer told no time."""

    account: str
    site_ids: frozenset[int]
    error: ChaserError | None
    date: Dated | None


class _Noting(httpx2.AsyncHTTPTransport):
    """Notes the Date header of the answer, which the client has no use for."""

    dated: Dated | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Pass a request on."""
        sent = time.time()
        response = await super().handle_async_request(request)
        if date := response.headers.get("date"):
            self.dated = Dated(date, sent, time.time())
        return response


async def probe(settings: "Settings") -> list[Probed]:
    """Ask for all accounts at once, each within the deadline of the settings."""
    return await asyncio.gather(*(_ask(settings, account) for account, _ in settings.accounts()))


async def _ask(settings: "Settings", account: str) -> Probed:
    transport = _Noting(trust_env=False)
    async with client_of(settings, account, transport) as chaser:
        try:
            sites = await chaser.websites()
        except ChaserError as error:
            return Probed(account, frozenset(), error, transport.dated)
    return Probed(account, frozenset(site.id for site in sites), None, transport.dated)
