"""The command `chaser-callback api-key`: API keys for other services."""

import hashlib
import secrets
from typing import Annotated, get_args

import typer

from app.cli.exit_codes import USAGE_ERROR, fail

keys = typer.Typer(help="Keys for other services.", no_args_is_help=True)


@keys.command("new")
def new_key(
    name: Annotated[str, typer.Argument(help="The service that will use the key, such as crm.")],
    scopes: Annotated[
        str, typer.Option(help="Permissions, joined by commas: callbacks:write, callbacks:read, chaser:read.")
    ] = "callbacks:write,callbacks:read",
    sites: Annotated[str, typer.Option(help="Sites the key is limited to, joined by commas; none: all.")] = "",
) -> None:
    """Generate an API key, and print it once with its lines for the settings.

    The settings hold only the SHA-256 of the key.
    """
    from app.settings import Scope
    from app.settings.settings_base import validate_name

    key_scopes, known = _split(scopes), get_args(Scope)
    unknown = [scope for scope in key_scopes if scope not in known]
    if unknown or not key_scopes:
        fail(USAGE_ERROR, f"--scopes: {', '.join(unknown) or 'none'}: choose from {', '.join(known)}")
    key_sites = _split(sites)
    for option, names in (("NAME", [name]), ("--sites", key_sites)):
        for each in names:
            try:
                validate_name(each)
            except ValueError as error:
                fail(USAGE_ERROR, f"{option}: {error}")
    key = f"ccb_{secrets.token_urlsafe(32)}"
    setting = f"API_KEYS__{name.upper()}"
    typer.echo(f"{key}\n")
    typer.echo(f"{setting}__SHA256={hashlib.sha256(key.encode()).hexdigest()}")
    typer.echo(f"{setting}__SCOPES={','.join(key_scopes)}")
    if key_sites:
        typer.echo(f"{setting}__SITES={','.join(key_sites)}")


def _split(text: str) -> list[str]:
    return list(dict.fromkeys(each for part in text.split(",") if (each := part.strip())))
