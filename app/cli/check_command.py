"""chaser-callback check: looks at everything the service needs, and says of each thing "ok" or the cure."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import typer

from app.cli.api_client import DEFAULT_URL, Url
from app.cli.exit_codes import REFUSED
from app.cli.output import clean, console, is_tty

if TYPE_CHECKING:
    from app.settings import Settings

_STYLES = {"ok": "green", "note": "yellow", "fault": "bold red"}
_WIDE_IPV4, _WIDE_IPV6 = 24, 64
"""Networks wider than these hold more than a few proxies."""


@dataclass(frozen=True, slots=True)
class Line:
    """What was found: ok, a note that is worth reading, or a fault with its cure."""

    verdict: Literal["ok", "note", "fault"]
    subject: str
    told: str


def check(url: Url = DEFAULT_URL) -> None:
    """Look whether everything is as the service needs it; each line is ok, a note, or a fault with the cure.

    Settings, database, its tables, each Chaser account by a signed request (which phones nobody), the numbers of the
    sites, the clock, trusted proxies, and whether the service runs. Changes nothing, and may be run beside a running
    service. Ends with 1 when there is a fault. Behind a pipe the three columns are separated by tabs.
    """
    faulty = False
    for line in _lines(url):
        _show(line)
        faulty = faulty or line.verdict == "fault"
    if faulty:
        raise typer.Exit(REFUSED)


def _show(line: Line) -> None:
    if not is_tty():
        typer.echo("\t".join((line.verdict, line.subject, clean(line.told))))
        return
    from rich.table import Table
    from rich.text import Text

    row = Table.grid(padding=(0, 1))
    row.add_column(width=5)
    row.add_column(width=10)
    row.add_column(overflow="fold")
    row.add_row(Text(line.verdict, _STYLES[line.verdict]), Text(line.subject, "bold"), Text(clean(line.told)))
    console().print(row)


def _lines(url: str) -> Iterator[Line]:
    from app.settings import SettingsError, load_settings

    try:
        settings = load_settings()
    except SettingsError as faults:
        for fault in faults.lines:
            yield Line("fault", "settings", fault)
        yield Line("note", "settings", "nothing else could be looked at")
        return
    accounts = len(list(settings.accounts()))
    yield Line("ok", "settings", f"sites: {', '.join(settings.sites)}; Chaser accounts: {accounts}")
    yield from _database(settings)
    yield from _chaser(settings)
    yield from _proxies(settings)
    yield _service(url)


def _database(settings: "Settings") -> Iterator[Line]:
    from app.outbox.database import DatabaseError
    from app.outbox.inspect_database import inspect
    from app.outbox.migrate import MADE_BY_NEWER, SchemaState

    try:
        seen = inspect(settings.database_url)
    except DatabaseError as unusable:
        yield Line("fault", "database", str(unusable))
        return
    there = "opens, and can be written" if seen.there else "is not there yet: the service makes it at its first start"
    yield Line("ok", "database", f"{seen.place} {there}")
    if seen.unusable:
        yield Line("fault", "tables", seen.unusable)
        return
    match seen.schema:
        case SchemaState.CURRENT:
            yield Line("ok", "tables", "up to date")
        case SchemaState.EMPTY:
            yield Line("ok", "tables", "none yet: the service makes them at its first start")
        case SchemaState.OLDER:
            yield Line(
                "fault", "tables", "of an older version: restart the service, or run `chaser-callback db upgrade`"
            )
        case SchemaState.NEWER:
            yield Line("fault", "tables", MADE_BY_NEWER)


def _chaser(settings: "Settings") -> Iterator[Line]:
    from app.cli.chaser_query import account_of, cure
    from app.cli.clock_check import clock_line
    from app.cli.probe import probe

    asked = asyncio.run(probe(settings))
    for answer in asked:
        if answer.error is not None:
            yield Line("fault", "account", cure(answer.error, settings, answer.account))
        else:
            count = len(answer.site_ids)
            yield Line("ok", "account", f"Chaser takes the signature of {answer.account}; sites there: {count}")
    by_account = {answer.account: answer for answer in asked}
    for name, site in settings.sites.items():
        answer = by_account[account_of(settings, name)]
        setting = f"SITES__{name.upper()}__SITE_ID"
        if answer.error is not None:
            yield Line("note", "site", f"{name}: Chaser could not be asked for its number {site.site_id}")
        elif site.site_id in answer.site_ids:
            yield Line("ok", "site", f"{name}: Chaser knows its number {site.site_id}")
        else:
            known = ", ".join(map(str, sorted(answer.site_ids))) or "none"
            yield Line(
                "fault",
                "site",
                f"{setting}: the account {answer.account} has no site {site.site_id} at Chaser (it has: {known})",
            )
    yield Line(*clock_line([answer.date for answer in asked if answer.date is not None]))


def _proxies(settings: "Settings") -> Iterator[Line]:
    trusted = settings.trusted_proxies
    if not trusted:
        told = (
            "none: right when visitors connect to the service itself. Behind a web server all would share one address "
            "and its limits: then name it in TRUSTED_PROXIES (docs/behind-a-proxy.md)"
        )
        yield Line("note", "proxies", told)
        return
    wide = [
        network
        for network in trusted
        if not network.is_global and network.prefixlen < (_WIDE_IPV4 if network.version == 4 else _WIDE_IPV6)
    ]
    for network in wide:
        told = (
            f"TRUSTED_PROXIES: who connects from {network} can pass for anybody: list the addresses your proxies "
            "connect from, not the network they are in"
        )
        yield Line("note", "proxies", told)
    if not wide:
        yield Line("ok", "proxies", f"trusted: {', '.join(map(str, trusted))}")


def _service(url: str) -> Line:
    import httpx2

    try:
        answer = httpx2.get(f"{url.rstrip('/')}/readyz", timeout=5, trust_env=False)
        checks = answer.json()
        told = ", ".join(f"{name} {state}" for name, state in checks.items() if name not in ("status", "sites"))
        paused = [site for site, state in checks["sites"].items() if state != "ok"]
    except (httpx2.RequestError, httpx2.InvalidURL):
        return Line("note", "service", f"none answers at {url}: right if it is not meant to run now (see --url)")
    except (ValueError, AttributeError, KeyError, TypeError):
        return Line("note", "service", f"what answers at {url} is another program: see --url")
    if paused:
        return Line("note", "service", f"runs at {url}, but Chaser refuses: {', '.join(paused)}: see the log")
    return Line("ok" if answer.is_success else "fault", "service", f"runs at {url}: {told}")
