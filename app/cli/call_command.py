"""chaser-callback call: has a phone rung, through the running service, so that its quotas and records hold."""

import sys
import time
import uuid
from typing import Annotated, Any, Literal

import typer

from app.cli.api_client import DEFAULT_URL, ApiClient, Url
from app.cli.completion import complete_site
from app.cli.exit_codes import REFUSED, WRONG, fail, settings_or_fail
from app.cli.output import clean

_ENDS = {"placed", "failed", "unknown", "cancelled", "held"}
_WELL = {"queued", "sending", "placed"}
_LOOK_EVERY = 0.5  # seconds


def call(
    phone: Annotated[str, typer.Argument(help="The phone to ring, as people write it: '8 (916) 123-45-67'.")],
    site: Annotated[
        str | None,
        typer.Option(help="The site it is for. Not needed with one site.", autocompletion=complete_site),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask before it rings somebody.")] = False,
    wait: Annotated[bool, typer.Option(help="Tell how it goes on, until it is delivered or given up.")] = True,
    planned_time: Annotated[
        str | None, typer.Option(metavar="TIME", help="When to ring, with a time zone: 2026-11-24T15:00+03:00.")
    ] = None,
    department: Annotated[str | None, typer.Option(help="One of the site's departments.")] = None,
    manager_phone: Annotated[
        str | None, typer.Option(help="Who is rung first, in place of the site's manager.")
    ] = None,
    message_on_ring: Annotated[str | None, typer.Option(help="What the manager is told.")] = None,
    nwt_action: Annotated[
        Literal["create_leed", "always_call"] | None, typer.Option(help="Outside working hours.")
    ] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Ring a phone and connect it with the site's manager. Asks first.

    It goes through the running service: its quotas and blocklist hold, and the call stands in its records. Prints the
    id, then each status as it comes; Ctrl-C ends the looking on, not the call.
    """
    settings = settings_or_fail()
    if site is None and len(settings.sites) == 1:
        site = next(iter(settings.sites))
    if site not in settings.sites:
        fail(WRONG, f"--site: name one of the settings' sites: {', '.join(settings.sites)}")
    if not yes:
        _confirm(phone, site)
    given = {
        "planned_time": planned_time,
        "department": department,
        "manager_phone": manager_phone,
        "message_on_ring": message_on_ring,
        "nwt_action": nwt_action,
    }
    body = {"site": site, "client_phone": phone, "request_id": str(uuid.uuid4())}
    body |= {name: value for name, value in given.items() if value is not None}
    with ApiClient(url) as running:
        accepted = running.ask("POST", "/v1/callbacks", json=body)
        typer.echo(accepted["id"])
        if accepted["duplicate"]:
            typer.echo("This phone was asked for a moment ago: that request stands for this one.", err=True)
        _follow(running, accepted, wait=wait and planned_time is None)


def _confirm(phone: str, site: str) -> None:
    if not sys.stdin.isatty():
        fail(WRONG, "--yes: there is no terminal to ask at, and this rings somebody: say --yes")
    if not typer.confirm(f"Ring {clean(phone)} now, for {site}?", err=True):
        fail(REFUSED, "Nobody was rung.")


def _follow(running: ApiClient, accepted: dict[str, Any], *, wait: bool) -> None:
    status = accepted["status"]
    typer.echo(status)
    while wait and status not in _ENDS:
        time.sleep(_LOOK_EVERY)
        now = running.get_with_retry(f"/v1/callbacks/{accepted['id']}")
        if now["status"] != status:
            status = now["status"]
            typer.echo(status if not now.get("reason") else f"{status}\t{clean(now['reason'])}")
    if status not in _WELL:
        raise typer.Exit(REFUSED)
