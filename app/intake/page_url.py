"""Reads the address of the page a visitor asked from.

The address reaches a manager's screen as a link, so it is taken from a stranger only as far as it is an ordinary web
address of the site itself. Query and fragment stay: owners read their campaign marks (utm_source and the like) there.
"""

import re
import unicodedata
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import idna

MOST_CHARACTERS: Final = 2048

_DEFAULT_PORTS = {"http": 80, "https": 443}
_ASCII_HOST = re.compile(r"[a-z0-9_.-]{1,253}|\[[0-9a-f:.]{2,45}\]")
_CONTINUATION = re.compile("%[89AaBb][0-9A-Fa-f]")


def page_address(text: str | None) -> str | None:
    """Give the text if it is an absolute http or https address, cut to `MOST_CHARACTERS`; None if it is anything else.

    ServiceError are white space, control and invisible characters, a user name or password, and a host no browser would
    have. A long address is cut between two characters, counting an escaped one (`%D0%BF`) and one with its accents as
    one, so that the cut one is still readable.
    """
    if text is None or _origin(text) is None:
        return None
    return _cut(text)


def active_page(
    given: str | None, referer_header: str | None, origin: str | None, allowed: Callable[[str], bool]
) -> str | None:
    """Choose the page to report: what the widget gave, else the Referer header, else the Origin header, else None.

    The first one is taken that is a page address and whose serialised origin (`https://shop.example`) is `allowed`.
    """
    for candidate in (given, referer_header, origin):
        if candidate is None:
            continue
        page_origin = _origin(candidate)
        if page_origin is not None and allowed(page_origin):
            return _cut(candidate)
    return None


def _origin(text: str) -> str | None:
    """Serialise the origin of an address as browsers do (RFC 6454, section 6.2), or None if it isn't a page address."""
    # isprintable() is False for controls, lone surrogates, zero-width and direction marks, and all spaces but one.
    if not text.isprintable() or " " in text:
        return None
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:  # brackets without an IPv6 address, a port that is no number, characters that fold to "/"
        return None
    default = _DEFAULT_PORTS.get(parts.scheme)
    if default is None or port == 0:
        return None
    host = parts.netloc if port is None else parts.netloc.rpartition(":")[0]
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode()
        except UnicodeError:  # idna.IDNAError is one
            return None
    host = host.lower()
    if not _ASCII_HOST.fullmatch(host):
        return None
    return f"{parts.scheme}://{host}" if port in (None, default) else f"{parts.scheme}://{host}:{port}"


def _cut(text: str) -> str:
    """Shorten to `MOST_CHARACTERS` or a little less, never inside what a reader sees as one character."""
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
