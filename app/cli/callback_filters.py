"""Which callbacks somebody at a terminal wants, and reading them from the service page by page."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any, Final

import typer

from app.cli.api_client import ApiClient
from app.cli.completion import STATUSES, complete_site, complete_status
from app.cli.exit_codes import WRONG, fail

PAGE: Final = 1000
"""The most callbacks the service gives at once."""

Sites = Annotated[
    list[str] | None, typer.Option("--site", help="Of this site; may be repeated.", autocompletion=complete_site)
]
Statuses = Annotated[
    list[str] | None,
    typer.Option("--status", help=f"{', '.join(STATUSES)}; may be repeated.", autocompletion=complete_status),
]
Phone = Annotated[str | None, typer.Option(help="Of this phone, as people write it.")]
From = Annotated[
    str | None, typer.Option("--from", metavar="TIME", help="Asked for since: 2026-11-24, or 2026-11-24T09:30.")
]
To = Annotated[
    str | None, typer.Option("--to", metavar="TIME", help="Asked for until: a whole day, or before that time.")
]


def wanted(
    sites: Sequence[str] | None, statuses: Sequence[str] | None, phone: str | None, from_: str | None, to: str | None
) -> dict[str, Any]:
    """Give the filters as GET /v1/callbacks takes them. Times without a zone are those of this machine.

    Ends the command when one can't be read.
    """
    for status in statuses or ():
        if status not in STATUSES:
            fail(WRONG, f"--status: {status} is none: choose of {', '.join(STATUSES)}")
    filters = {
        "site": list(sites or ()),
        "status": list(statuses or ()),
        "client_phone": phone,
        "from": from_ and _moment("--from", from_).isoformat(),
        "to": to and _moment("--to", to, whole_day=True).isoformat(),
    }
    return {name: value for name, value in filters.items() if value}


def read(running: ApiClient, filters: dict[str, Any], limit: int | None = None) -> Iterator[dict[str, Any]]:
    """Give the callbacks, newest first; never more than a page of them is held. `limit`: so many at the most."""
    cursor, left = None, limit
    while left is None or left > 0:
        asked = filters | {"limit": PAGE if left is None else min(left, PAGE)}
        page = running.get_with_retry("/v1/callbacks", params=asked | ({"cursor": cursor} if cursor else {}))
        yield from page["callbacks"]
        cursor = page["next_cursor"]
        if cursor is None:
            return
        left = None if left is None else left - len(page["callbacks"])


def _moment(option: str, text: str, *, whole_day: bool = False) -> datetime:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        pass
    else:
        return datetime.combine(day + timedelta(1 if whole_day else 0), time()).astimezone()
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        fail(WRONG, f"{option}: write a day such as 2026-11-24, or a time such as 2026-11-24T09:30")
