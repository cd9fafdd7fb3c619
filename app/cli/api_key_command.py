"""chaser-callback api-key: keys for other services."""

import hashlib
import secrets
from typing import Annotated, get_args

import typer

from app.cli.exit_codes import WRONG, fail

keys = typer.Typer(help="Keys for other services.", no_args_is_help=True)


@keys.command("new")
def new_key(
    name: Annotated[str, typer.Argument(help="Which service it is for, such as crm.")],
    scopes: Annotated[
        str, typer.Option(help="What it may do, joined by commas: callbacks:write, callbacks:read, chaser:read.")
    ] = "callbacks:write,callbacks:read",
    sites: Annotated[str, typer.Option(help="The sites it may do that for, joined by commas; none: all.")] = "",
) -> None:
    """Make a key: shown once, with the lines for the settings, which hold only its SHA-256."""
    from app.settings import Scope
    from app.settings.settings_base import validate_name

    chosen, known = _listed(scopes), get_args(Scope)
    wrong = [scope for scope in chosen if scope not in known]
    if wrong or not chosen:
        fail(WRONG, f"--scopes: {', '.join(wrong) or 'none'}: choose from {', '.join(known)}")
    bound = _listed(sites)
    for option, given in (("NAME", [name]), ("--sites", bound)):
        for each in given:
            try:
                validate_name(each)
            except ValueError as error:
                fail(WRONG, f"{option}: {error}")
    key = f"ccb_{secrets.token_urlsafe(32)}"
    setting = f"API_KEYS__{name.upper()}"
    typer.echo(f"{key}\n")
    typer.echo(f"{setting}__SHA256={hashlib.sha256(key.encode()).hexdigest()}")
    typer.echo(f"{setting}__SCOPES={','.join(chosen)}")
    if bound:
        typer.echo(f"{setting}__SITES={','.join(bound)}")


def _listed(text: str) -> list[str]:
    return list(dict.fromkeys(each for part in text.split(",") if (each := part.strip())))
