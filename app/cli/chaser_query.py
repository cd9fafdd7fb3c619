"""What the terminal commands ask of Chaser itself, and how they say what went wrong there."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from app.cli.exit_codes import REFUSED, UNREACHABLE, fail

if TYPE_CHECKING:
    import httpx2

    from app.chaser import ChaserClient, ChaserError
    from app.settings import Settings

T = TypeVar("T")


def client_of(
    settings: "Settings", account: str, transport: "httpx2.AsyncBaseTransport | None" = None
) -> "ChaserClient":
    """Make a client for an account of the settings; see ChaserClient for the transport."""
    from app.chaser import ChaserClient

    return ChaserClient(
        account,
        dict(settings.accounts())[account],
        api_url=settings.chaser.api_url,
        timeout=settings.chaser.timeout.total_seconds(),
        transport=transport,
    )


def ask_chaser(settings: "Settings", account: str, question: "Callable[[ChaserClient], Awaitable[T]]") -> T:
    """Ask something with a client of an account; a failure ends the command with one line that names the cure."""
    import asyncio

    from app.chaser import ChaserError

    async def asking() -> T:
        async with client_of(settings, account) as chaser:
            return await question(chaser)

    try:
        return asyncio.run(asking())
    except ChaserError as error:
        answered = error.status is not None and 400 <= error.status < 500
        fail(REFUSED if answered else UNREACHABLE, cure(error, settings, account))


def cure(error: "ChaserError", settings: "Settings", account: str) -> str:
    """Say in one line what went wrong at Chaser, and what to do."""
    from app.chaser import Forbidden, NotFound, NotSent, Rejected, Unauthorized, Unavailable, UnreadableAnswer

    url = settings.chaser.api_url
    if isinstance(error, Unauthorized):
        names = account_setting(settings, account)
        return f"{names}: Chaser refuses the account {account} (401): correct client_id or private_key"
    if isinstance(error, Forbidden):
        return f"Chaser forbids this to the account {account} (403): ask Chaser what the account may do"
    if isinstance(error, NotFound):
        return "Chaser knows no such site (404): `chaser-callback websites` lists the ones there are"
    if isinstance(error, NotSent):
        return f"CHASER__API_URL: {url} can't be reached ({error}): check the address, the network and the firewall"
    if isinstance(error, Unavailable):
        when = f"in {error.retry_after:.0f} seconds" if error.retry_after else "later"
        return f"Chaser has too much to do ({error.status}): try again {when}"
    if isinstance(error, UnreadableAnswer):
        return f"CHASER__API_URL: what answers at {url} is not Chaser's API ({error}): check the address"
    if isinstance(error, Rejected):
        return f"Chaser rejects the request ({error.status}): check CHASER__API_URL, which is {url}"
    return f"CHASER__API_URL: {url} gives no answer that can be used ({error}): try again, or check the address"


def account_setting(settings: "Settings", account: str) -> str:
    """Name the settings that an account comes from."""
    if account == settings.chaser.client_id:
        return "CHASER__CLIENT_ID, CHASER__PRIVATE_KEY"
    site = next(name for name, site in settings.sites.items() if site.client_id == account)
    return f"SITES__{site.upper()}__CLIENT_ID, SITES__{site.upper()}__PRIVATE_KEY"


def account_of(settings: "Settings", site: str) -> str:
    """Give the client_id of the account that a site's calls go to."""
    return settings.sites[site].client_id or settings.chaser.client_id
