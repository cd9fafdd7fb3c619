"""The Chaser accounts in use: one client each, and what Chaser refuses for now.

A 401 or 403 doesn't say what it is about. So the account is paused, and a signed ``websites`` request asks at once:

- It is refused as well: it is the account. Nothing is sent for it until ``websites``, asked once a minute, is answered.
- It is answered, and it was a 403: it is the site. The site alone is paused, and one of its callbacks a minute tried.
- It is answered, and it was a 401: it is something in that one callback that Chaser computes another signature from.
  The account goes on, and the callback waits as the policy says.

Where ``websites`` proves nothing, a 401 is taken for the account's and a 403 for the site's. All of it ends by itself.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from app.chaser import ChaserClient, ChaserError, Forbidden, Unauthorized
from app.logs import event
from app.outbox.claims import SiteKey

log = logging.getLogger(__name__)

PROBE_INTERVAL = timedelta(minutes=1)


@dataclass(slots=True)
class _Refused:
    """What was refused and may be the account's fault or not, until ``websites`` is answered."""

    sites: dict[str, int] = field(default_factory=dict)  # with a 403, and their numbers
    callbacks: list[str] = field(default_factory=list)  # with a 401


class CircuitBreakers:
    """Clients by client_id. Nothing here waits: probes run beside, one at a time for each account."""

    def __init__(self, clients: Mapping[str, ChaserClient]) -> None:
        self._clients = dict(clients)
        self._probe_at: dict[str, datetime] = {}  # of paused accounts
        self._undiagnosed: dict[str, _Refused] = {}  # of paused accounts of which nobody knows yet whether it is they
        self._try_at: dict[SiteKey, datetime] = {}  # of paused sites
        self._probes: dict[str, asyncio.Task[None]] = {}

    def client(self, account: str) -> ChaserClient | None:
        """Give the client of an account; None when the settings no longer know the account."""
        return self._clients.get(account)

    @property
    def paused(self) -> tuple[str, ...]:
        """The client_ids of accounts that nothing is sent for."""
        return tuple(self._probe_at)

    @property
    def paused_sites(self) -> tuple[SiteKey, ...]:
        """The sites that are paused alone."""
        return tuple(self._try_at)

    @property
    def probing(self) -> tuple[str, ...]:
        """The client_ids of accounts that Chaser is being asked about."""
        return tuple(self._probes)

    def is_paused(self, site: SiteKey) -> bool:
        """Tell whether callbacks of a site wait, because of the site or of its account."""
        return site[0] in self._probe_at or site in self._try_at

    def on_unauthorized(self, account: str, callback_id: str, now: datetime) -> None:
        """Take a 401: pause the account, and ask whether it is the account or this one callback."""
        doubt = self._doubt(account, now)
        if doubt is not None:
            doubt.callbacks.append(callback_id)

    def on_forbidden(self, site: SiteKey, site_id: int, now: datetime) -> None:
        """Take a 403: pause the site, or ask first whether it is the account."""
        account, name = site
        if site in self._try_at:
            self._try_at[site] = now + PROBE_INTERVAL
            return
        doubt = self._doubt(account, now)
        if doubt is not None:
            doubt.sites[name] = site_id

    def on_removed(self, account: str, now: datetime) -> None:
        """Take note that the settings don't know an account any more: it is paused, and there is nobody to ask."""
        if account not in self._probe_at:
            self._probe_at[account] = now
            _tell_paused(account, "the settings don't know it any more: put it back, or cancel what waits for it")

    def on_success(self, site: SiteKey) -> None:
        """Take any answer that shows that Chaser takes calls for a site."""
        if self._try_at.pop(site, None) is not None:
            event(log, "delivery.site_resumed", account=site[0], site=site[1])

    def due_probes(self, now: datetime) -> tuple[SiteKey, ...]:
        """Give the paused sites that one callback may be tried for."""
        return tuple(site for site, due in self._try_at.items() if _is_due(due, now) and site[0] not in self._probe_at)

    def mark_probed(self, site: SiteKey, now: datetime) -> None:
        """Take note that a callback of a paused site is being tried: the next may be in a minute."""
        if site in self._try_at:
            self._try_at[site] = now + PROBE_INTERVAL

    def start_probes(self, now: datetime) -> None:
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

    def _doubt(self, account: str, now: datetime) -> _Refused | None:
        """Pause an account and give what is to be asked about it; None when it is known already that it is refused."""
        if account not in self._probe_at:
            self._probe_at[account] = now
            self._undiagnosed[account] = _Refused()
        return self._undiagnosed.get(account)

    async def _ask(self, account: str, client: ChaserClient, now: datetime) -> None:
        self._probe_at[account] = now + PROBE_INTERVAL
        told: ChaserError | None = None
        try:
            await client.websites()
        except ChaserError as error:
            told = error
        finally:
            del self._probes[account]
        doubt = self._undiagnosed.pop(account, None)
        # A 200 says that Chaser takes the account, whatever its body looks like.
        well = told is None or told.status == 200
        only_sites = doubt is not None and not doubt.callbacks and not isinstance(told, Unauthorized | Forbidden)
        if well or only_sites:
            del self._probe_at[account]
            self._resume(account, doubt, now)
        elif doubt is not None:
            _tell_paused(account, "check client_id and private_key, or ask Chaser why it refuses this account")
        else:
            status = told and told.status
            event(log, "delivery.account_still_refused", logging.WARNING, account=account, http_status=status)

    def _resume(self, account: str, doubt: _Refused | None, now: datetime) -> None:
        if doubt is None:
            event(log, "delivery.account_resumed", account=account)
            return
        for name, site_id in doubt.sites.items():
            self._pause_site((account, name), site_id, now)
        for callback_id in doubt.callbacks:
            cure = "Chaser takes the account, but not what this callback is signed with: it may never do, call yourself"
            event(log, "delivery.signature_refused", logging.ERROR, callback=callback_id, account=account, cure=cure)

    def _pause_site(self, site: SiteKey, site_id: int, now: datetime) -> None:
        self._try_at[site] = now + PROBE_INTERVAL
        cure = f"Chaser refuses calls for site_id {site_id}: check the site's SITE_ID, and what this account may do"
        event(log, "delivery.site_paused", logging.ERROR, account=site[0], site=site[1], cure=cure)


def _tell_paused(account: str, cure: str) -> None:
    event(log, "delivery.account_paused", logging.ERROR, account=account, cure=cure)


def _is_due(due: datetime, now: datetime) -> bool:
    # What is further ahead than a minute was set before the clock was set back.
    return not now < due <= now + PROBE_INTERVAL
