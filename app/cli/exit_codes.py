"""How a command ends: one line on standard error that names the cure, and a code that scripts can tell apart."""

from typing import TYPE_CHECKING, Final, NoReturn

import typer

if TYPE_CHECKING:
    from app.settings import Settings

REFUSED: Final = 1
"""It was understood and not done: the service or Chaser refused, or a check found a fault."""
WRONG: Final = 2
"""The command or the settings are wrong; nothing was tried."""
UNREACHABLE: Final = 3
"""The service, Chaser or the database can't be reached or used."""

CODES = (
    "Exit codes: 0 done; 1 refused, or not as it should be; 2 the command or the settings are wrong; "
    "3 the service, Chaser or the database can't be reached; 130 ended by Ctrl-C."
)


def fail(code: int, *lines: str) -> NoReturn:
    """End the command with a code, and say why on standard error."""
    for line in lines:
        typer.echo(line, err=True)
    raise typer.Exit(code)


def settings_or_fail() -> "Settings":
    """Load the settings; with faults, end the command with a line for each."""
    from app.settings import SettingsError, load_settings

    try:
        return load_settings()
    except SettingsError as faults:
        fail(WRONG, *faults.lines)
