"""Syntax of an icon: the path data of an SVG image of 24 by 24. Pure.

The widget draws it with `clip-path: path("...")` of CSS. Browsers drop a path that has one error, and the icon would be
a filled square. Therefore the grammar is checked here (SVG 2, section 9.3.9). It has no quotes and no brackets, so no
valid path can end the CSS string.
"""

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator

_MAX_LENGTH = 2000
_SIZE: Final = 24
_FIX = 'write the d="…" of an SVG path drawn for a box of 24 by 24, such as M12 2L2 22h20z'

# Atomic groups: otherwise 12 could match as 1 and 2 to complete a pair.
_NUMBER = r"(?>[+-]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:e[+-]?[0-9]+)?)"
_SEPARATOR = r"(?>\s*,?\s*)"
_FLAG = "[01]"


def _command(letters: str, *arguments: str) -> str:
    """Return the pattern of a command with its arguments, which may be repeated."""
    once = _SEPARATOR.join(arguments)
    return rf"[{letters}]\s*{once}(?:{_SEPARATOR}{once})*"


_MOVE = _command("m", *[_NUMBER] * 2)
_COMMANDS = "|".join(
    (
        _command("mlt", *[_NUMBER] * 2),
        _command("hv", _NUMBER),
        _command("c", *[_NUMBER] * 6),
        _command("sq", *[_NUMBER] * 4),
        _command("a", *[_NUMBER] * 3, _FLAG, _FLAG, *[_NUMBER] * 2),
        "z",
    )
)
_PATH = re.compile(rf"{_MOVE}(?:\s*(?:{_COMMANDS}))*", re.IGNORECASE | re.ASCII)


def parse_icon(value: Any) -> str:
    """Validate path data of at most 2,000 characters, and return it with white space reduced to single spaces.

    It must begin inside the box of 24 by 24. This catches icons for other boxes (512 by 512 is common), which would be
    invisible. Raises ValueError with the fix.
    """
    written = " ".join(value.split()) if isinstance(value, str) else ""
    if not _PATH.fullmatch(written):
        raise ValueError(_FIX)
    if len(written) > _MAX_LENGTH:
        raise ValueError(f"write a simpler path, of at most {_MAX_LENGTH} characters")
    begins = re.findall(_NUMBER, written, re.IGNORECASE)[:2]
    if not all(0 <= float(number) <= _SIZE for number in begins):
        raise ValueError(f"begins outside the box of {_SIZE} by {_SIZE}: {_FIX}")
    return written


Icon = Annotated[str, BeforeValidator(parse_icon)]
