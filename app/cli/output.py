"""Output of the commands: a table at a terminal, tab-separated lines behind a pipe.

Much of the text comes from visitors. It is never interpreted as markup or as a terminal escape sequence. Tabs and line
breaks in it become spaces; otherwise it could forge another cell or line.
"""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# C0, DEL and C1 control the terminal. The others break lines, reverse the direction of the text, or are surrogates.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

WIDE = 110
"""The width of a terminal, in characters, from which tables show their optional columns."""

STATUS_STYLES = {
    "placed": "green",
    "failed": "red",
    "unknown": "yellow",
    "held": "yellow",
    "cancelled": "dim",
    "duplicate": "dim",
    "sending": "cyan",
    "success": "green",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. A `whole` column is never cut: the others shrink. A `status` column is coloured."""

    title: str
    whole: bool = False
    justify: Literal["left", "right"] = "left"
    status: bool = False


def clean(value: Any) -> str:
    """Return a value as one line of text: control characters become spaces, None becomes empty."""
    return "" if value is None else _UNSAFE.sub(" ", str(value))


def to_json(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON with the characters that `clean` replaces escaped, which every parser reads back."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _UNSAFE.sub(lambda unsafe: "\n" if unsafe[0] == "\n" else f"\\u{ord(unsafe[0]):04x}", text)


def to_text(value: Any) -> Any:
    """Return an object, array or boolean as JSON text, and a plain text or number unchanged."""
    return to_json(value) if isinstance(value, dict | list | bool) else value


def is_tty() -> bool:
    """Return whether standard output is a terminal."""
    return sys.stdout.isatty()


def console(*, stderr: bool = False) -> "Console":
    """Create a rich console, on standard error if `stderr`; it respects NO_COLOR and COLUMNS."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, emoji=False, markup=False)


def show_table(columns: Sequence[Column], rows: Iterable[Sequence[Any]], *, header: bool = False) -> None:
    """Print rows: at a terminal as a table, behind a pipe each as a line of tab-separated cells as it comes.

    `header`: behind a pipe too, print the titles first. Needed if the columns are not fixed.
    """
    if not is_tty():
        if header:
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
    padding = 1 if sum(widths) + 2 * (len(columns) - 1) <= out.width else 0  # the box adds one more
    table = Table(box=SIMPLE_HEAD, padding=(0, padding, 0, 0), pad_edge=False, show_edge=False, header_style="bold")
    for column, width in zip(columns, widths, strict=True):
        min_width = width if column.whole else min(width, 4)
        title = _text(column.title, False)
        table.add_column(title, no_wrap=True, overflow="ellipsis", justify=column.justify, min_width=min_width)
    for row in cells:
        table.add_row(*row)
    out.print(table)


def _text(value: Any, status: bool) -> "Text":
    from rich.text import Text

    shown = clean(value)
    return Text(shown, style=STATUS_STYLES.get(shown, "") if status else "")
