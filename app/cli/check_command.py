"""The command `chaser-callback check`: check everything the service needs, and print how to fix each fault."""

import asyncio
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import typer

from app.cli.api_client import Url, connect
from app.cli.exit_codes import REFUSED
from app.cli.output import clean, console, is_tty

if TYPE_CHECKING:
    from app.settings import Settings

_STYLES = {"ok": "green", "note": "yellow", "fault": "bold red"}
_MIN_PREFIX_IPV4, _MIN_PREFIX_IPV6 = 24, 64
"""A private network with a shorter prefix than these contains more hosts than proxies."""


Verdict = Literal["ok", "note", "fault"]
CheckResult = tuple[Verdict, str, str]
"""Verdict, subject, and a message that says how to fix a fault."""
_VERDICTS: dict[str, Verdict] = {"ok": "ok", "unavailable": "fault"}  # by the status of /readyz


def check(url: Url = None) -> None:
    """Check everything the service needs. Each line is ok, a note, or a fault with its fix.

    Checks the settings, the database and its tables, the clock, the trusted proxies, and whether the service runs.
    Also each Chaser account and its site numbers, by a signed request that rings no phone. Changes nothing, and can
    be run while the service runs. Exit code 1 if there is a fault. Behind a pipe, tabs separate the three columns.
    """
    failed = False
    for verdict, subject, message in _run_checks(url):
        _show(verdict, subject, clean(message))
        failed = failed or verdict == "fault"
    if failed:
        raise typer.Exit(REFUSED)


def _show(verdict: str, subject: str, message: str) -> None:
    if not is_tty():
        typer.echo("\t".join((verdict, subject, message)))
        return
    from rich.table import Table
    from rich.text import Text

    row = Table.grid(padding=(0, 1))
    row.add_column(width=5)
    row.add_column(width=10)
    row.add_column(overflow="fold")
    row.add_row(Text(verdict, _STYLES[verdict]), Text(subject, "bold"), Text(message))
    console().print(row)


def _run_checks(url: str | None) -> Iterator[CheckResult]:
    from app.settings import SettingsError, load_settings

    try:
        settings = load_settings()
    except SettingsError as invalid:
        for message in invalid.lines:
            yield ("fault", "settings", message)
        yield ("note", "settings", "the other checks need valid settings")
        return
    accounts = len(list(settings.accounts()))
    yield ("ok", "settings", f"sites: {', '.join(settings.sites)}; Chaser accounts: {accounts}")
    yield from _check_departments(settings)
    yield from _check_database(settings)
    yield from _check_chaser(settings)
    yield from _check_proxies(settings)
    yield from _check_service(url, settings)


def _check_departments(settings: "Settings") -> Iterator[CheckResult]:
    """Note the departments that phone the site's manager with nothing but a text of the site or their name."""
    for name, site in settings.sites.items():
        alike = [key for key, one in site.departments.items() if not (one.manager_phone or one.message_on_ring)]
        if not alike:
            continue
        prefix = f"SITES__{name.upper()}__"
        which = f"{prefix}DEPARTMENTS: no MANAGER_PHONE and no MESSAGE_ON_RING of their own: {', '.join(alike)}. "
        effect = (
            f"Nobody learns which of them a visitor chose, because {prefix}MESSAGE_ON_RING is spoken for all: "
            "set one of the two for each"
            if site.message_on_ring
            else "The site's manager hears the department's name: set one of the two for a manager or text of its own"
        )
        yield ("note", "department", which + effect)


def _check_database(settings: "Settings") -> Iterator[CheckResult]:
    from sqlite3 import sqlite_version

    from app.outbox.database import WAL_RESET_FIXED, DatabaseError, has_wal_reset_bug
    from app.outbox.inspect_database import inspect
    from app.outbox.migrate import MADE_BY_NEWER, SchemaState

    try:
        database = inspect(settings.database_url)
    except DatabaseError as error:
        yield ("fault", "database", str(error))
        return
    state = "can be opened and written" if database.there else "is not there yet: the first start creates it"
    yield ("ok", "database", f"{database.place} {state}")
    if database.exposed:
        files = " ".join(map(str, database.exposed))
        yield ("note", "files", f"other users of this machine can read phone numbers: chmod 600 {files}")
    if settings.uses_sqlite and has_wal_reset_bug():
        message = (
            f"{sqlite_version}: let no other program write to the file while the service runs, because before "
            f"{WAL_RESET_FIXED} that can damage it"
        )
        yield ("ok", "sqlite", message)
    states: dict[SchemaState, CheckResult] = {
        SchemaState.CURRENT: ("ok", "tables", "up to date"),
        SchemaState.EMPTY: ("ok", "tables", "none yet: the first start creates them"),
        SchemaState.OLDER: (
            "fault",
            "tables",
            "of an older version: restart the service, or run `chaser-callback db upgrade`",
        ),
        SchemaState.NEWER: ("fault", "tables", MADE_BY_NEWER),
    }
    yield ("fault", "tables", database.unusable) if database.unusable else states[database.schema]


def _check_chaser(settings: "Settings") -> Iterator[CheckResult]:
    from app.cli.chaser_query import explain
    from app.cli.clock_check import check_clock
    from app.cli.probe import probe

    probes = asyncio.run(probe(settings))
    for result in probes:
        if result.error is not None:
            yield ("fault", "account", explain(result.error, settings, result.account))
        else:
            accepted = f"Chaser accepts the signature of {result.account}; sites there: {len(result.sites)}"
            yield ("ok", "account", accepted)
    by_account = {result.account: result for result in probes}
    for name, site in settings.sites.items():
        result = by_account[settings.account_of(name)]
        setting = f"SITES__{name.upper()}__SITE_ID"
        if result.error is not None:
            yield ("note", "site", f"{name}: its number {site.site_id} could not be checked at Chaser")
        elif site.site_id in (known := {each.id for each in result.sites}):
            yield ("ok", "site", f"{name}: Chaser knows its number {site.site_id}")
        else:
            has = ", ".join(map(str, sorted(known))) or "none"
            yield (
                "fault",
                "site",
                f"{setting}: the account {result.account} has no site {site.site_id} at Chaser (it has: {has})",
            )
    yield check_clock([result.date for result in probes if result.date is not None])


def _check_proxies(settings: "Settings") -> Iterator[CheckResult]:
    trusted = settings.trusted_proxies
    if not trusted:
        message = (
            "none: correct if visitors connect to the service directly. Behind a web server all visitors would share "
            "its address and one rate limit: list it in TRUSTED_PROXIES (docs/behind-a-proxy.md)"
        )
        yield ("note", "proxies", message)
        return
    wide = [
        network
        for network in trusted
        if not network.is_global
        and network.prefixlen < (_MIN_PREFIX_IPV4 if network.version == 4 else _MIN_PREFIX_IPV6)
    ]
    for network in wide:
        message = (
            f"TRUSTED_PROXIES: any client in {network} can forge its address: list the addresses that your proxies "
            "connect from, not their network"
        )
        yield ("note", "proxies", message)
    if not wide:
        yield ("ok", "proxies", f"trusted: {', '.join(map(str, trusted))}")


def _check_service(url: str | None, settings: "Settings") -> Iterator[CheckResult]:
    import httpx2

    place = url or settings.control_path()
    try:
        with connect(place, timeout=5) as http:
            response = http.get("/readyz")
        checks = response.json()
        verdict = _VERDICTS[checks["status"]]
        states = ", ".join(f"{name} {state}" for name, state in checks.items() if not isinstance(state, dict))
        paused = [site for site, state in checks.get("sites", {}).items() if state != "ok"]
    except (httpx2.RequestError, httpx2.InvalidURL):
        message = (
            f"no running service was found at {place}: correct if it is stopped; else run this command as its user, "
            "in its folder and with its settings"
        )
        yield ("note", "service", message)
        return
    except (ValueError, AttributeError, KeyError, TypeError):
        yield ("note", "service", f"{place} is another program, or does not know this API key: see --url")
        return
    if paused:
        yield ("note", "service", f"runs at {place}, but Chaser refuses: {', '.join(paused)}: see the log")
    else:
        yield (verdict, "service", f"runs at {place}: {states}")
    if running := checks.get("settings"):
        yield _compare_settings(settings.digest(), running["digest"], datetime.fromisoformat(running["read_at"]))


def _compare_settings(own: str, running: str, read_at: datetime) -> CheckResult:
    from app.settings.loader import config_file

    if own == running:
        return ("ok", "running", f"the service has these settings ({own})")
    file = config_file()
    read = f"{read_at.astimezone():%Y-%m-%d %H:%M}"
    if file is not None and file.stat().st_mtime > read_at.timestamp():
        fix = f"{file} was changed since then: restart the service"
    else:
        fix = "restart it with these, or run this command in its folder with its environment"
    return ("note", "running", f"the service read other settings ({running}) at {read} than these ({own}): {fix}")
