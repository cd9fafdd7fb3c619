"""Exit codes of the commands. An error is one line on standard error that says how to fix it."""

from typing import TYPE_CHECKING, Final, NoReturn

import typer

from app.cli.output import clean

if TYPE_CHECKING:
    from app.settings import Settings

REFUSED: Final = 1
"""The service or Chaser refused the request, or a check found a fault."""
USAGE_ERROR: Final = 2
"""The command line or the settings are wrong; nothing was tried."""
UNREACHABLE: Final = 3
"""The service, Chaser or the database can't be reached or used."""

CODES = (
    "Exit codes: 0 done; 1 refused, or a check found a fault; 2 the command or the settings are wrong; "
    "3 the service, Chaser or the database can't be reached; 130 ended by Ctrl-C."
)


def fail(code: int, *lines: str) -> NoReturn:
    """Print the lines to standard error and end the command with an exit code."""
    for line in lines:
        typer.echo(clean(line), err=True)
    raise typer.Exit(code)


def settings_or_fail(*, draft: bool = False) -> "Settings":
    """Return the settings. If they are invalid, print a line for each error and end the command.

    `draft`: see `load_settings`.
    """
    from app.settings import SettingsError, load_settings

    try:
        return load_settings(draft=draft)
    except SettingsError as invalid:
        fail(USAGE_ERROR, *invalid.lines)


def site_or_fail(settings: "Settings", site: str | None) -> str:
    """Return a site of the settings, by default the only one; end the command if it is unknown."""
    chosen = next(iter(settings.sites)) if site is None and len(settings.sites) == 1 else site
    if chosen not in settings.sites:
        fail(USAGE_ERROR, f"--site: name one of the settings' sites: {', '.join(settings.sites)}")
    return chosen
