"""Write CSV that is safe to open: visitors' text must not run in a spreadsheet, nor control a terminal."""

import csv
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, TextIO

from app.cli.output import clean, to_text

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def escape_formula(value: Any) -> Any:
    """Return text that a spreadsheet would run as a formula with an apostrophe before it, other values unchanged.

    See OWASP, "CSV Injection". A program that reads the file removes one apostrophe where `= + - @`, a tab or a line
    break follows it; or it reads JSON lines, where nothing is added.
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value


def write_csv(out: TextIO, titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write titles and rows as CSV. At a terminal, control characters become spaces; a file keeps them."""
    writer = csv.writer(out, lineterminator="\n")
    for row in chain([titles], rows):
        cells = [escape_formula(to_text(value)) for value in row]
        writer.writerow(map(clean, cells) if out.isatty() else cells)
