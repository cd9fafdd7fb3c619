"""Queries of the commands to Chaser, and its errors as one line with the fix."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from app.cli.exit_codes import REFUSED, UNREACHABLE, fail

if TYPE_CHECKING:
    import httpx2

    from app.chaser import ChaserClient, ChaserError
    from app.settings import Settings

T = TypeVar("T")


def chaser_client(
    settings: "Settings", account: str, transport: "httpx2.AsyncBaseTransport | None" = None
) -> "ChaserClient":
    """Create a client for an account of the settings; see `ChaserClient` for the transport."""
    from app.chaser import ChaserClient

    return ChaserClient(
        account,
        dict(settings.accounts())[account],
        api_url=settings.chaser.api_url,
        timeout=settings.chaser.timeout.total_seconds(),
        transport=transport,
    )


def query_chaser(settings: "Settings", account: str, query: "Callable[[ChaserClient], Awaitable[T]]") -> T:
    """Run `query` with the client of an account and return its result.

    A ChaserError ends the command with one line that says how to fix it.
    """
    import asyncio

    from app.chaser import ChaserError

    async def run_query() -> T:
        async with chaser_client(settings, account) as chaser:
            return await query(chaser)

    try:
        return asyncio.run(run_query())
    except ChaserError as error:
        fail(exit_code(error), explain(error, settings, account))


def exit_code(error: "ChaserError") -> int:
    """Return the exit code of a command that Chaser refused or did not answer."""
    return REFUSED if error.status is not None and 400 <= error.status < 500 else UNREACHABLE


def explain(error: "ChaserError", settings: "Settings", account: str) -> str:
    """Return one line that names the error and its fix."""
    from app.chaser import Forbidden, NotFound, NotSent, Rejected, Unauthorized, Unavailable, UnreadableAnswer

    url = settings.chaser.api_url
    when = f"in {error.retry_after:.0f} seconds" if error.retry_after else "later"
    lines: dict[type[ChaserError], str] = {
        Unauthorized: f"{account_setting(settings, account)}: Chaser refuses the account {account} (401): "
        "correct client_id or private_key",
        Forbidden: f"Chaser forbids this to the account {account} (403): ask Chaser for the account's permissions",
        NotFound: "Chaser knows no such site (404): `chaser-callback websites` lists the ones there are",
        NotSent: f"CHASER__API_URL: {url} can't be reached ({error}): check the address, the network and the firewall",
        Unavailable: f"Chaser is overloaded ({error.status}): try again {when}",
        UnreadableAnswer: f"CHASER__API_URL: {url} answers, but it is not Chaser's API ({error}): check the address",
        Rejected: f"Chaser rejects the request ({error.status}): check CHASER__API_URL, which is {url}",
    }
    other = f"CHASER__API_URL: {url} gives no usable answer ({error}): try again, or check the address"
    return lines.get(type(error), other)


def account_setting(settings: "Settings", account: str) -> str:
    """Return the names of the settings that hold an account's client_id and private_key."""
    if account == settings.chaser.client_id:
        return "CHASER__CLIENT_ID, CHASER__PRIVATE_KEY"
    site = next(name for name, site in settings.sites.items() if site.client_id == account)
    return f"SITES__{site.upper()}__CLIENT_ID, SITES__{site.upper()}__PRIVATE_KEY"
