"""The command `chaser-callback call`: request a callback from the running service, with its quotas and records."""

import sys
import time
import uuid
from typing import Annotated, Any, Literal

import typer

from app.cli.api_client import ApiClient, Url
from app.cli.completion import complete_site
from app.cli.exit_codes import REFUSED, USAGE_ERROR, fail, settings_or_fail, site_or_fail
from app.cli.output import clean

_FINAL_STATUSES = {"placed", "failed", "unknown", "cancelled", "held"}
_SUCCESSFUL_STATUSES = {"queued", "sending", "placed"}
_POLL_INTERVAL = 0.5  # seconds


def call(
    phone: Annotated[str, typer.Argument(help="The phone to ring, as people write it: '8 (916) 123-45-67'.")],
    site: Annotated[
        str | None,
        typer.Option(help="The site to call for. Not needed with one site.", autocompletion=complete_site),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ring without asking for confirmation.")] = False,
    wait: Annotated[
        bool, typer.Option(help="Print each new status until the callback is placed or has failed.")
    ] = True,
    planned_time: Annotated[
        str | None, typer.Option(metavar="TIME", help="When to ring, with a time zone: 2026-11-24T15:00+03:00.")
    ] = None,
    department: Annotated[str | None, typer.Option(help="One of the site's departments.")] = None,
    manager_phone: Annotated[
        str | None, typer.Option(help="The phone to ring first, instead of the site's manager.")
    ] = None,
    message_on_ring: Annotated[str | None, typer.Option(help="The message that the manager hears.")] = None,
    nwt_action: Annotated[
        Literal["create_leed", "always_call"] | None, typer.Option(help="What Chaser does outside working hours.")
    ] = None,
    url: Url = None,
) -> None:
    """Ring a phone and connect it with the site's manager. Asks for confirmation first.

    The request goes through the running service: its quotas and blocklist apply, and it keeps a record of the call.
    Prints the id, then each new status. Ctrl-C stops the output, not the call.
    """
    site = site_or_fail(settings_or_fail(), site)
    if not yes:
        _confirm(phone, site)
    options = {
        "planned_time": planned_time,
        "department": department,
        "manager_phone": manager_phone,
        "message_on_ring": message_on_ring,
        "nwt_action": nwt_action,
    }
    body = {"site": site, "client_phone": phone, "request_id": str(uuid.uuid4())}
    body |= {name: value for name, value in options.items() if value is not None}
    with ApiClient(url) as client:
        accepted = client.request("POST", "/v1/callbacks", json=body)
        typer.echo(accepted["id"])
        if accepted["duplicate"]:
            typer.echo("Duplicate: the callback that was requested for this phone a moment ago is used.", err=True)
        _follow(client, accepted, wait=wait and planned_time is None)


def _confirm(phone: str, site: str) -> None:
    if not sys.stdin.isatty():
        fail(USAGE_ERROR, "--yes: there is no terminal to confirm at: pass --yes to ring without confirmation")
    if not typer.confirm(f"Ring {clean(phone)} now, for {site}?", err=True):
        fail(REFUSED, "Nobody was rung.")


def _follow(client: ApiClient, accepted: dict[str, Any], *, wait: bool) -> None:
    status = accepted["status"]
    typer.echo(status)
    while wait and status not in _FINAL_STATUSES:
        time.sleep(_POLL_INTERVAL)
        callback = client.get_with_retry(f"/v1/callbacks/{accepted['id']}")
        if callback["status"] != status:
            status = callback["status"]
            typer.echo(status if not callback.get("reason") else f"{status}\t{clean(callback['reason'])}")
    if status not in _SUCCESSFUL_STATUSES:
        raise typer.Exit(REFUSED)
