"""CSV that a spreadsheet may open: strangers' text must not become a formula."""

from typing import Any

_BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def escape_formula(value: Any) -> Any:
    """Put an apostrophe before text that a spreadsheet would take for a formula; numbers stay as they are.

    OWASP, "CSV Injection". Whoever reads the file with a program takes one apostrophe away from text that begins with
    it and one of ``= + - @``, tab or a line break; or exports JSON lines, where nothing is added.
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(_BEGINS_A_FORMULA) else value
