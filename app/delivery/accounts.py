"""The Chaser accounts in use: one client each, and which of them are paused because Chaser refuses them.

A 401 or 403 is nobody's request's fault. The account is paused, a signed ``websites`` request a minute asks whether it
is well again, and delivery goes on by itself.
"""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta

from app.chaser import ChaserClient, ChaserError
from app.logs import event

log = logging.getLogger(__name__)

PROBE_EVERY = timedelta(minutes=1)


class Accounts:
    """Clients by client_id."""

    def __init__(self, clients: Mapping[str, ChaserClient]) -> None:
        self._clients = dict(clients)
        self._probe_at: dict[str, datetime] = {}

    def client(self, account: str) -> ChaserClient | None:
        """Give the client of an account; None when the settings no longer know the account."""
        return self._clients.get(account)

    @property
    def paused(self) -> tuple[str, ...]:
        """The client_ids of the accounts that Chaser refuses."""
        return tuple(self._probe_at)

    def pause(self, account: str, now: datetime) -> None:
        """Stop delivering for an account until a probe succeeds."""
        if account not in self._probe_at:
            event(
                log, "delivery.account_paused", logging.ERROR, account=account, cure="check client_id and private_key"
            )
        self._probe_at[account] = now + PROBE_EVERY

    async def probe(self, now: datetime) -> None:
        """Ask for each paused account, once a minute, whether Chaser takes it again."""
        # A probe further ahead than a minute was set before the clock was set back.
        due_now = [name for name, due in self._probe_at.items() if not now < due <= now + PROBE_EVERY]
        for account in due_now:
            client = self._clients.get(account)
            if client is None:
                continue
            try:
                await client.websites()
            except ChaserError as error:
                self._probe_at[account] = now + PROBE_EVERY
                event(log, "delivery.account_still_refused", logging.WARNING, account=account, http_status=error.status)
            else:
                del self._probe_at[account]
                event(log, "delivery.account_resumed", account=account)

    async def aclose(self) -> None:
        """Close all clients."""
        for client in self._clients.values():
            await client.aclose()
