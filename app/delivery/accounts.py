"""The Chaser accounts in use: one client each, and what Chaser refuses for now.

A 401 or 403 is nobody's request's fault, so what would be refused as well waits, and delivery goes on by itself.

- 401: the account is paused. A signed ``websites`` request a minute asks whether it is well again.
- 403: the account or only the site, the answer doesn't say which. The account is paused until ``websites`` has been
  asked, at once: when that is refused too it is the account. Else the site is paused alone, and one of its callbacks
  a minute is tried.
"""

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta

from app.chaser import ChaserClient, ChaserError, Forbidden, Unauthorized
from app.logs import event
from app.outbox.delivering import SiteOfAccount

log = logging.getLogger(__name__)

EVERY = timedelta(minutes=1)


class Accounts:
    """Clients by client_id. Nothing here waits: probes run beside, one at a time for each account."""

    def __init__(self, clients: Mapping[str, ChaserClient]) -> None:
        self._clients = dict(clients)
        self._probe_at: dict[str, datetime] = {}  # of paused accounts
        self._suspects: dict[
            str, dict[str, int]
        ] = {}  # sites with a 403 that may be their account's, with their numbers
        self._try_at: dict[SiteOfAccount, datetime] = {}  # of paused sites
        self._probes: dict[str, asyncio.Task[None]] = {}

    def client(self, account: str) -> ChaserClient | None:
        """Give the client of an account; None when the settings no longer know the account."""
        return self._clients.get(account)

    @property
    def paused(self) -> tuple[str, ...]:
        """The client_ids of accounts that nothing is sent for."""
        return tuple(self._probe_at)

    @property
    def paused_sites(self) -> tuple[SiteOfAccount, ...]:
        """The sites that are paused alone."""
        return tuple(self._try_at)

    def is_paused(self, site: SiteOfAccount) -> bool:
        """Tell whether callbacks of a site wait, because of the site or of its account."""
        return site[0] in self._probe_at or site in self._try_at

    def refused(self, account: str, now: datetime) -> None:
        """Take a 401: pause the account until a probe succeeds."""
        self._suspects.pop(account, None)
        if account not in self._probe_at:
            _tell_paused(account, "check client_id and private_key")
        self._probe_at[account] = now + EVERY

    def forbidden(self, site: SiteOfAccount, site_id: int, now: datetime) -> None:
        """Take a 403: pause the site, or ask first whether it is the account."""
        account, name = site
        if site in self._try_at:
            self._try_at[site] = now + EVERY
        elif account not in self._probe_at:
            self._probe_at[account] = now
            self._suspects[account] = {name: site_id}
        elif account in self._suspects:
            self._suspects[account][name] = site_id

    def allowed(self, site: SiteOfAccount) -> None:
        """Take any answer that shows that Chaser takes calls for a site."""
        if self._try_at.pop(site, None) is not None:
            event(log, "delivery.site_resumed", account=site[0], site=site[1])

    def to_try(self, now: datetime) -> tuple[SiteOfAccount, ...]:
        """Give the paused sites that one callback may be tried for."""
        return tuple(site for site, due in self._try_at.items() if _is_due(due, now) and site[0] not in self._probe_at)

    def tried(self, site: SiteOfAccount, now: datetime) -> None:
        """Take note that a callback of a paused site is being tried: the next may be in a minute."""
        if site in self._try_at:
            self._try_at[site] = now + EVERY

    def probe(self, now: datetime) -> None:
        """Begin to ask for each paused account, once a minute, whether Chaser takes it again."""
        for account, due in self._probe_at.items():
            client = self._clients.get(account)
            if client is not None and account not in self._probes and _is_due(due, now):
                self._probes[account] = asyncio.create_task(self._ask(account, client, now))

    async def aclose(self) -> None:
        """Close all clients."""
        probes = tuple(self._probes.values())
        for probe in probes:
            probe.cancel()
        await asyncio.gather(*probes, return_exceptions=True)
        for client in self._clients.values():
            await client.aclose()

    async def _ask(self, account: str, client: ChaserClient, now: datetime) -> None:
        self._probe_at[account] = now + EVERY
        told: ChaserError | None = None
        try:
            await client.websites()
        except ChaserError as error:
            told = error
        finally:
            del self._probes[account]
        suspects = self._suspects.pop(account, {})
        # A 200 says that Chaser takes the account, whatever its body looks like.
        if told is not None and told.status == 200:
            told = None
        if told is None or (suspects and not isinstance(told, Unauthorized | Forbidden)):
            del self._probe_at[account]
            for name, site_id in suspects.items():
                self._pause_site((account, name), site_id, now)
            if not suspects:
                event(log, "delivery.account_resumed", account=account)
        elif suspects:
            _tell_paused(account, "ask Chaser why it forbids this account, or check client_id and private_key")
        else:
            event(log, "delivery.account_still_refused", logging.WARNING, account=account, http_status=told.status)

    def _pause_site(self, site: SiteOfAccount, site_id: int, now: datetime) -> None:
        self._try_at[site] = now + EVERY
        cure = f"Chaser refuses calls for site_id {site_id}: check the site's SITE_ID, and what this account may do"
        event(log, "delivery.site_paused", logging.ERROR, account=site[0], site=site[1], cure=cure)


def _tell_paused(account: str, cure: str) -> None:
    event(log, "delivery.account_paused", logging.ERROR, account=account, cure=cure)


def _is_due(due: datetime, now: datetime) -> bool:
    # What is further ahead than a minute was set before the clock was set back.
    return not now < due <= now + EVERY
