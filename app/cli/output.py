"""What a command prints: a table for people at a terminal, lines separated by tabs for programs behind a pipe.

Much of what is shown was written by strangers. So nothing in it is taken as markup or as an order to the terminal,
and a cell can't begin another line or column.
"""

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# C0, DEL and C1 move the cursor and more; the others turn the direction in which the rest of the line is read.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

WIDE = 110
"""The width, in signs, from which a terminal has room for what isn't needed at once."""

STATUS_STYLES = {
    "placed": "green",
    "failed": "red",
    "unknown": "yellow",
    "held": "yellow",
    "cancelled": "dim",
    "sending": "cyan",
    "success": "green",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. A `whole` one is never cut; what is lacking in width is taken from the others."""

    title: str
    whole: bool = False
    justify: Literal["left", "right"] = "left"
    status: bool = False


def clean(value: Any) -> str:
    """Give a value as one line without control characters; None is empty."""
    return "" if value is None else _UNSAFE.sub(" ", str(value))


def is_tty() -> bool:
    """Tell whether standard output is a terminal."""
    return sys.stdout.isatty()


def console(*, stderr: bool = False) -> "Console":
    """Make a rich console; it heeds NO_COLOR and COLUMNS."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, emoji=False, markup=False)


def show_table(columns: Sequence[Column], rows: Iterable[Sequence[Any]], *, head: bool = False) -> None:
    """Print rows: at a terminal as a table, else each at once as a line of cells separated by tabs.

    `head`: the titles stand above these lines too, for columns that nobody can know beforehand.
    """
    if not is_tty():
        if head:
            typer.echo("\t".join(clean(column.title) for column in columns))
        for row in rows:
            typer.echo("\t".join(map(clean, row)))
        return
    cells = [[_text(value, column.status) for column, value in zip(columns, row, strict=True)] for row in rows]
    if cells:
        _draw(columns, cells)
    else:
        typer.echo("Nothing found.", err=True)


def _draw(columns: Sequence[Column], cells: "Sequence[Sequence[Text]]") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    out = console()
    widths = [max(len(column.title), *(row[at].cell_len for row in cells)) for at, column in enumerate(columns)]
    room = 1 if sum(widths) + 2 * (len(columns) - 1) <= out.width else 0  # beside the one that is there anyway
    table = Table(box=SIMPLE_HEAD, padding=(0, room, 0, 0), pad_edge=False, show_edge=False, header_style="bold")
    for column, width in zip(columns, widths, strict=True):
        least = width if column.whole else min(width, 4)
        title = _text(column.title, False)
        table.add_column(title, no_wrap=True, overflow="ellipsis", justify=column.justify, min_width=least)
    for row in cells:
        table.add_row(*row)
    out.print(table)


def _text(value: Any, status: bool) -> "Text":
    from rich.text import Text

    shown = clean(value)
    return Text(shown, style=STATUS_STYLES.get(shown, "") if status else "")
