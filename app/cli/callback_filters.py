"""The filter options of `callbacks list` and `export`, and reading the callbacks page by page."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

import typer

from app.cli.api_client import ApiClient
from app.cli.completion import STATUSES, complete_site, complete_status
from app.cli.exit_codes import USAGE_ERROR, fail

PAGE_SIZE: Final = 1000
"""The largest page of callbacks that the service returns."""

Sites = Annotated[
    list[str] | None, typer.Option("--site", help="Of this site; can be repeated.", autocompletion=complete_site)
]
Statuses = Annotated[
    list[str] | None,
    typer.Option("--status", help=f"{', '.join(STATUSES)}; can be repeated.", autocompletion=complete_status),
]
Phone = Annotated[str | None, typer.Option(help="Of this phone, as people write it.")]
From = Annotated[
    str | None, typer.Option("--from", metavar="TIME", help="Requested since: 2026-11-24, or 2026-11-24T09:30.")
]
To = Annotated[
    str | None, typer.Option("--to", metavar="TIME", help="Requested until: the end of a day, or before a time.")
]


def filters(
    sites: Sequence[str] | None, statuses: Sequence[str] | None, phone: str | None, from_: str | None, to: str | None
) -> dict[str, Any]:
    """Return the options as query parameters of GET /v1/callbacks; options that were left out are absent.

    Times without a zone are in this machine's zone. Ends the command when a status or a time is invalid.
    """
    for status in statuses or ():
        if status not in STATUSES:
            fail(USAGE_ERROR, f"--status: there is no status {status}: choose from {', '.join(STATUSES)}")
    parameters = {
        "site": list(sites or ()),
        "status": list(statuses or ()),
        "client_phone": phone,
        "from": from_ and _parse_time("--from", from_).isoformat(),
        "to": to and _parse_time("--to", to, end_of_day=True).isoformat(),
    }
    return {name: value for name, value in parameters.items() if value}


def read_callbacks(client: ApiClient, parameters: dict[str, Any], limit: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield the callbacks, newest first, with at most one page in memory.

    `parameters` come from `filters`; `limit` is the largest number of callbacks, None for all.
    """
    cursor, remaining = None, limit
    while remaining is None or remaining > 0:
        query = parameters | {"limit": PAGE_SIZE if remaining is None else min(remaining, PAGE_SIZE)}
        page = client.get_with_retry("/v1/callbacks", params=query | ({"cursor": cursor} if cursor else {}))
        yield from page["callbacks"]
        cursor = page["next_cursor"]
        if cursor is None:
            return
        remaining = None if remaining is None else remaining - len(page["callbacks"])


def _parse_time(option: str, text: str, *, end_of_day: bool = False) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        fail(USAGE_ERROR, f"{option}: write a day such as 2026-11-24, or a time such as 2026-11-24T09:30")
    is_day = len(text) <= len("2026-11-24")
    return (moment + timedelta(1 if is_day and end_of_day else 0)).astimezone()
