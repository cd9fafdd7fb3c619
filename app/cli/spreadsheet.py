"""Protect CSV files against formula injection: visitors' text must not run when a spreadsheet opens them."""

from typing import Any

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def escape_formula(value: Any) -> Any:
    """Return text that a spreadsheet would run as a formula with an apostrophe before it, other values unchanged.

    See OWASP, "CSV Injection". A program that reads the file removes one apostrophe where `= + - @`, a tab or a line
    break follows it; or it reads JSON lines, where nothing is added.
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value
