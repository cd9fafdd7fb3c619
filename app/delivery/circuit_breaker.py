"""Circuit breakers: one for each Chaser account and one for each site, with the clients of the accounts.

A 401 or 403 doesn't say whether it concerns the account, the site or the callback. So the account's circuit opens, and
a signed `websites` request probes the account at once:

- The probe is refused as well: it is the account. Its circuit stays open, and is probed again once a minute.
- The probe succeeds after a 403: it is the site. Only the site's circuit stays open. One of its callbacks a minute is
  sent as the probe.
- The probe succeeds after a 401: it is this one callback, which Chaser signs differently. The account's circuit
  closes, and the callback waits as the retry policy says.

If the probe proves nothing, a 401 counts against the account and a 403 against the site. Circuits close by themselves.
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
class _Undiagnosed:
    """Refusals that the account may or may not have caused, until the probe decides."""

    site_ids: dict[str, int] = field(default_factory=dict)  # refused with 403, by the site's name
    callback_ids: list[str] = field(default_factory=list)  # refused with 401


class CircuitBreakers:
    """The breakers and clients of all accounts, by client_id.

    No method waits for Chaser: probes run in tasks of their own, at most one for each account.
    """

    def __init__(self, clients: Mapping[str, ChaserClient]) -> None:
        self._clients = dict(clients)
        self._account_probe_at: dict[str, datetime] = {}  # next probe of each account whose circuit is open
        self._undiagnosed: dict[str, _Undiagnosed] = {}  # of open accounts whose first probe has no answer yet
        self._site_probe_at: dict[SiteKey, datetime] = {}  # next probe of each site whose circuit is open
        self._probes: dict[str, asyncio.Task[None]] = {}

    def client(self, account: str) -> ChaserClient | None:
        """Return the client of an account, or None if the settings no longer contain the account."""
        return self._clients.get(account)

    @property
    def paused(self) -> tuple[str, ...]:
        """The client_ids of accounts whose circuit is open: nothing is sent for them."""
        return tuple(self._account_probe_at)

    @property
    def paused_sites(self) -> tuple[SiteKey, ...]:
        """The sites whose own circuit is open."""
        return tuple(self._site_probe_at)

    @property
    def probing(self) -> tuple[str, ...]:
        """The client_ids of accounts with a probe in flight."""
        return tuple(self._probes)

    def is_paused(self, site: SiteKey) -> bool:
        """Return whether the circuit of a site or of its account is open, so that its callbacks wait."""
        return site[0] in self._account_probe_at or site in self._site_probe_at

    def on_unauthorized(self, account: str, callback_id: str, now: datetime) -> None:
        """Open an account's circuit after a 401, until a probe shows whether it is the account or this callback."""
        undiagnosed = self._open_account(account, now)
        if undiagnosed is not None:
            undiagnosed.callback_ids.append(callback_id)

    def on_forbidden(self, site: SiteKey, site_id: int, now: datetime) -> None:
        """Handle a 403. Keeps an open site open for another minute; otherwise opens the account and has it probed."""
        account, name = site
        if site in self._site_probe_at:
            self._site_probe_at[site] = now + PROBE_INTERVAL
            return
        undiagnosed = self._open_account(account, now)
        if undiagnosed is not None:
            undiagnosed.site_ids[name] = site_id

    def on_removed(self, account: str, now: datetime) -> None:
        """Open the circuit of an account that the settings no longer contain. Without a client it is not probed."""
        if account not in self._account_probe_at:
            self._account_probe_at[account] = now
            _log_account_paused(
                account, "the settings don't contain it any more: add it again, or cancel its waiting callbacks"
            )

    def on_success(self, site: SiteKey) -> None:
        """Close a site's circuit after any response that proves that Chaser accepts calls for the site."""
        if self._site_probe_at.pop(site, None) is not None:
            event(log, "delivery.site_resumed", account=site[0], site=site[1])

    def due_probes(self, now: datetime) -> tuple[SiteKey, ...]:
        """Return the open sites for which one callback may be sent as a probe now."""
        return tuple(
            site
            for site, due in self._site_probe_at.items()
            if _is_due(due, now) and site[0] not in self._account_probe_at
        )

    def mark_probed(self, site: SiteKey, now: datetime) -> None:
        """Record that a site was probed: its next probe is due in a minute."""
        if site in self._site_probe_at:
            self._site_probe_at[site] = now + PROBE_INTERVAL

    def start_probes(self, now: datetime) -> None:
        """Start the probe of each open account that has none in flight and was not probed in the last minute."""
        for account, due in self._account_probe_at.items():
            client = self._clients.get(account)
            if client is not None and account not in self._probes and _is_due(due, now):
                self._probes[account] = asyncio.create_task(self._probe(account, client, now))

    async def aclose(self) -> None:
        """Cancel all probes and close all clients."""
        probes = tuple(self._probes.values())
        for probe in probes:
            probe.cancel()
        await asyncio.gather(*probes, return_exceptions=True)
        for client in self._clients.values():
            await client.aclose()

    def _open_account(self, account: str, now: datetime) -> _Undiagnosed | None:
        """Open an account's circuit. Returns its undiagnosed refusals, or None if a probe was refused already."""
        if account not in self._account_probe_at:
            self._account_probe_at[account] = now
            self._undiagnosed[account] = _Undiagnosed()
        return self._undiagnosed.get(account)

    async def _probe(self, account: str, client: ChaserClient, now: datetime) -> None:
        self._account_probe_at[account] = now + PROBE_INTERVAL
        error: ChaserError | None = None
        try:
            await client.websites()
        except ChaserError as raised:
            error = raised
        finally:
            del self._probes[account]
        undiagnosed = self._undiagnosed.pop(account, None)
        # A 200 proves that Chaser accepts the account, even with an unreadable body.
        accepted = error is None or error.status == 200
        only_sites = (
            undiagnosed is not None and not undiagnosed.callback_ids and not isinstance(error, Unauthorized | Forbidden)
        )
        if accepted or only_sites:
            del self._account_probe_at[account]
            self._close_account(account, undiagnosed, now)
        elif undiagnosed is not None:
            _log_account_paused(account, "check client_id and private_key, or ask Chaser why it refuses this account")
        else:
            status = error and error.status
            event(log, "delivery.account_still_refused", logging.WARNING, account=account, http_status=status)

    def _close_account(self, account: str, undiagnosed: _Undiagnosed | None, now: datetime) -> None:
        if undiagnosed is None:
            event(log, "delivery.account_resumed", account=account)
            return
        for name, site_id in undiagnosed.site_ids.items():
            self._open_site((account, name), site_id, now)
        for callback_id in undiagnosed.callback_ids:
            advice = "Chaser accepts the account, but not this callback's signature: call the visitor yourself"
            event(
                log, "delivery.signature_refused", logging.ERROR, callback=callback_id, account=account, advice=advice
            )

    def _open_site(self, site: SiteKey, site_id: int, now: datetime) -> None:
        self._site_probe_at[site] = now + PROBE_INTERVAL
        advice = f"Chaser refuses calls for site_id {site_id}: check the site's SITE_ID and this account's permissions"
        event(log, "delivery.site_paused", logging.ERROR, account=site[0], site=site[1], advice=advice)


def _log_account_paused(account: str, advice: str) -> None:
    event(log, "delivery.account_paused", logging.ERROR, account=account, advice=advice)


def _is_due(due: datetime, now: datetime) -> bool:
    # A time more than a minute ahead was set before the clock was set back: waiting for it could take hours.
    return not now < due <= now + PROBE_INTERVAL
