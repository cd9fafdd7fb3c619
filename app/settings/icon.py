"""How an icon is written: the path data of an SVG image of 24 by 24. Pure.

The widget cuts it out with ``clip-path: path("...")`` of CSS. A path with one mistake in it is dropped by the browser
as a whole, and the icon would be a filled square; so the grammar is checked here (SVG 2, section 9.3.9). The grammar
has no quotes and no brackets, so nothing that passes can end the CSS string.
"""

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator

_LONGEST = 2000
_SIZE: Final = 24
_CURE = 'write the d="…" of an SVG path drawn for a box of 24 by 24, such as M12 2L2 22h20z'

# Atomic groups: 12 is one number, and never read as 1 and 2 to make the count right.
_NUMBER = r"(?>[+-]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:e[+-]?[0-9]+)?)"
_GAP = r"(?>\s*,?\s*)"
_FLAG = "[01]"


def _drawing(letters: str, *arguments: str) -> str:
    """Give the pattern of a command and its arguments, which may come several times."""
    once = _GAP.join(arguments)
    return rf"[{letters}]\s*{once}(?:{_GAP}{once})*"


_MOVE = _drawing("m", *[_NUMBER] * 2)
_ANY = "|".join(
    (
        _drawing("mlt", *[_NUMBER] * 2),
        _drawing("hv", _NUMBER),
        _drawing("c", *[_NUMBER] * 6),
        _drawing("sq", *[_NUMBER] * 4),
        _drawing("a", *[_NUMBER] * 3, _FLAG, _FLAG, *[_NUMBER] * 2),
        "z",
    )
)
_PATH = re.compile(rf"{_MOVE}(?:\s*(?:{_ANY}))*", re.IGNORECASE | re.ASCII)


def parse_icon(value: Any) -> str:
    """Read path data of at most 2,000 characters that begins inside the box; white space is brought to single spaces.

    Where it begins tells a path for another box (icons of 512 by 512 are common) from one that can be seen.
    """
    written = " ".join(value.split()) if isinstance(value, str) else ""
    if not _PATH.fullmatch(written):
        raise ValueError(_CURE)
    if len(written) > _LONGEST:
        raise ValueError(f"write a simpler path, of at most {_LONGEST} characters")
    begins = re.findall(_NUMBER, written, re.IGNORECASE)[:2]
    if not all(0 <= float(number) <= _SIZE for number in begins):
        raise ValueError(f"begins outside the box of {_SIZE} by {_SIZE}: {_CURE}")
    return written


Icon = Annotated[str, BeforeValidator(parse_icon)]
