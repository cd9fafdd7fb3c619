"""Validation of the URL of the page from which a visitor sent a request.

A manager sees the URL as a link. So only an ordinary web URL of the site itself is accepted from a visitor. Query and
fragment stay, because owners read their campaign parameters (utm_source and others) there.
"""

import re
import unicodedata
from collections.abc import Callable
from typing import Final

from app.net.origins import url_origin

MOST_CHARACTERS: Final = 2048

_CONTINUATION = re.compile("%[89AaBb][0-9A-Fa-f]")


def page_address(text: str | None) -> str | None:
    """Return the text if it is an absolute http or https URL, cut to `MOST_CHARACTERS`; None for any other text.

    Invalid is what `url_origin` refuses. A long URL is cut between two characters. An escaped character (`%D0%BF`) and
    a letter with its accents count as one, so the cut URL can still be decoded.
    """
    return None if text is None or url_origin(text) is None else _cut(text)


def active_page(
    submitted: str | None, referer_header: str | None, origin: str | None, allowed: Callable[[str], bool]
) -> str | None:
    """Return the page to report: the URL the widget submitted, else the Referer header, else the Origin header.

    The first of these is used that is a valid page URL with an `allowed` origin (`https://shop.example`). None
    otherwise. The result has at most `MOST_CHARACTERS`.
    """
    for candidate in filter(None, (submitted, referer_header, origin)):
        page_origin = url_origin(candidate)
        if page_origin is not None and allowed(page_origin):
            return _cut(candidate)
    return None


def _cut(text: str) -> str:
    """Cut to `MOST_CHARACTERS` or a little less, never within a percent-encoded or an accented character."""
    if len(text) <= MOST_CHARACTERS:
        return text
    end = MOST_CHARACTERS
    escape = text.find("%", end - 2, end)
    if escape != -1:
        end = escape
    for _ in range(3):  # a UTF-8 character has at most three continuation bytes
        if not _CONTINUATION.match(text, end) or text[end - 3] != "%":
            break
        end -= 3
    while unicodedata.combining(text[end]):
        end -= 1
    return text[:end]
