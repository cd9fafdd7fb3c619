"""Validation of the URL of the page from which a visitor sent a request.

A manager sees the URL as a link. So only an ordinary web URL of the site itself is accepted from a visitor. Query and
fragment stay, because owners read their campaign parameters (utm_source and others) there.
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
    """Return the text if it is an absolute http or https URL, cut to `MOST_CHARACTERS`; None for any other text.

    Invalid are white space, control and invisible characters, a user name or password, and a host that browsers refuse.
    A long URL is cut between two characters. An escaped character (`%D0%BF`) and a letter with its accents count as
    one, so the cut URL can still be decoded.
    """
    if text is None or _origin(text) is None:
        return None
    return _cut(text)


def active_page(
    submitted: str | None, referer_header: str | None, origin: str | None, allowed: Callable[[str], bool]
) -> str | None:
    """Return the page to report: the URL the widget submitted, else the Referer header, else the Origin header.

    The first of these is used that is a valid page URL with an `allowed` origin (`https://shop.example`). None
    otherwise. The result has at most `MOST_CHARACTERS`.
    """
    for candidate in (submitted, referer_header, origin):
        if candidate is None:
            continue
        page_origin = _origin(candidate)
        if page_origin is not None and allowed(page_origin):
            return _cut(candidate)
    return None


def _origin(text: str) -> str | None:
    """Return the origin of a URL as browsers serialise it (RFC 6454, section 6.2), or None for an invalid page URL."""
    # isprintable() is False for controls, lone surrogates, zero-width and direction marks, and all spaces but U+0020.
    if not text.isprintable() or " " in text:
        return None
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:  # brackets without an IPv6 address, an invalid port, characters that NFKC turns into "/"
        return None
    default = _DEFAULT_PORTS.get(parts.scheme)
    if default is None or port == 0:
        return None
    host = parts.netloc if port is None else parts.netloc.rpartition(":")[0]
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode()
        except UnicodeError:  # base class of idna.IDNAError
            return None
    host = host.lower()
    if not _ASCII_HOST.fullmatch(host):
        return None
    return f"{parts.scheme}://{host}" if port in (None, default) else f"{parts.scheme}://{host}:{port}"


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
