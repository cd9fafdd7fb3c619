"""Web origins that may use a site: exact ones, and wildcards for every subdomain of a host.

An origin is compared as the text of a browser's Origin header (RFC 6454, section 6.2): lower case, punycode, no
default port, no path. Browsers send no other form, so any other form is refused.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Final
from urllib.parse import urlsplit

import idna

NO_ORIGIN: Final = r"(?!)"
"""The regular expression of an empty list of patterns: it matches nothing."""

_PATTERN = re.compile(r"(?P<scheme>https?)://(?P<host>\[[^\]]*\]|[^:\[\]]*)(?::(?P<port>.*))?", re.I | re.A)
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"  # browsers accept underscores
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_ENDS_IN_A_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")  # WHATWG URL: IPv4 or invalid
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MOST_HOST_CHARACTERS = 253
_LONGEST_ORIGIN = len("https://") + _MOST_HOST_CHARACTERS + len(":65535")


@dataclass(frozen=True, slots=True)
class OriginPattern:
    """One allowed origin. With `wildcard` it covers every host one or more labels below `host`, but not `host`.

    `host` is in the form that browsers serialise. `port` is None for the scheme's default.
    """

    scheme: str
    host: str
    port: int | None
    wildcard: bool

    @property
    def is_trusted(self) -> bool:
        """Return whether browsers treat its pages as trustworthy (W3C Secure Contexts, 3.1): HTTPS or loopback."""
        if self.scheme == "https" or self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        return self.host == "[::1]" or re.fullmatch(r"127(\.[0-9]+){3}", self.host) is not None

    def __str__(self) -> str:
        return f"{self.scheme}://{'*.' if self.wildcard else ''}{self.host}{self._port}"

    def regex(self) -> str:
        """Return a regular expression that matches the whole origin."""
        if not self.wildcard:
            return re.escape(str(self))
        prefix = rf"(?=.{{1,{_LONGEST_ORIGIN}}}\Z){re.escape(self.scheme + '://')}(?:{_LABEL}\.)+"
        return prefix + re.escape(self.host + self._port)

    @property
    def _port(self) -> str:
        return "" if self.port is None else f":{self.port}"


class Origins:
    """The origins of one site or several, from texts in the format of `parse_origin_pattern`."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self.patterns = tuple(map(parse_origin_pattern, patterns))
        self._regex = re.compile(union_regex([self]))

    def allows(self, origin: str) -> bool:
        """Return whether the value of an Origin header is one of these origins."""
        return self._regex.fullmatch(origin) is not None


def union_regex(sites: Iterable[Origins]) -> str:
    """Return one regular expression for the origins of several sites, for CORSMiddleware's `allow_origin_regex`."""
    return "|".join(pattern.regex() for site in sites for pattern in site.patterns) or NO_ORIGIN


@lru_cache(maxsize=1024)  # every request of a page names one; what is refused is not kept
def parse_origin_pattern(text: str) -> OriginPattern:
    """Parse one setting: `https://shop.example`, `http://127.0.0.1:8001` or `https://*.shop.example`.

    Upper case, international hosts, default ports and one trailing slash are converted to the browser's form.
    Raises ValueError, which names the fix, for any other text. There is no check against the public suffix list:
    `https://*.co.uk` or `https://*.github.io` would allow the pages of other owners.
    """
    if text == "*":
        raise ValueError("'*' would let any page phone people; list the site's origins, like https://shop.example")
    if text == "null":
        raise ValueError("'null' is what any sandboxed page or local file sends; serve the page over https")
    match = _PATTERN.fullmatch(text.removesuffix("/"))
    if match is None or not text.isprintable():
        raise ValueError(f"{text!r} is no origin; write one with its scheme, like https://shop.example")
    scheme, host_text = match["scheme"].lower(), match["host"]
    after_scheme = match[0].partition("://")[2]
    wildcard = host_text.startswith("*.")
    host_text = host_text.removeprefix("*.")
    checks = (
        # Not echoed: it may hold a password.
        ("@" in after_scheme, "an origin has no user name or password; write only the scheme, host and port"),
        (
            re.search(r"[/?#\\]", after_scheme),
            f"{text!r} has a path; an origin ends after the host and port, like https://shop.example",
        ),
        (
            "*" in host_text,
            f"{text!r} has a wildcard inside; it may only be the first label, like https://*.shop.example",
        ),
        (host_text.endswith("."), f"{text!r} ends its host with a dot; leave the dot out"),
    )
    if error := next((message for wrong, message in checks if wrong), None):
        raise ValueError(error)
    host = _host(host_text)
    if host is None:
        raise ValueError(f"{text!r} has no valid host; write it as the browser's address bar shows it")
    if wildcard and ("." not in host or _ENDS_IN_A_NUMBER.fullmatch(host)):
        raise ValueError(f"{text!r} is too wide; write at least two labels after '*.', like https://*.shop.example")
    return OriginPattern(scheme, host, _port(text, match["port"], _DEFAULT_PORTS[scheme]), wildcard)


def url_origin(url: str) -> str | None:
    """Return the origin of a web URL as browsers serialise it (RFC 6454, section 6.2); None for any other text.

    Invalid are white space, control and invisible characters, a user name or password, and a host that browsers refuse.
    """
    # isprintable() is False for controls, lone surrogates, zero-width and direction marks, and all spaces but U+0020.
    if not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
        return None if "*" in parts.netloc else str(parse_origin_pattern(f"{parts.scheme}://{parts.netloc}"))
    except ValueError:  # also for brackets without an IPv6 address, and characters that NFKC turns into "/"
        return None


def _host(text: str) -> str | None:
    """Return a host in the form that browsers send. None if it is invalid, or browsers rewrite it in their own way."""
    try:
        if text.startswith("["):
            address = IPv6Address(text[1:-1])
            # Browsers write ::ffff:1.2.3.4 differently from Python, and refuse zones.
            return None if address.ipv4_mapped or address.scope_id else f"[{address.compressed}]"
        host = text.lower() if text.isascii() else idna.encode(text, uts46=True).decode()
        if _ENDS_IN_A_NUMBER.fullmatch(host):
            return str(IPv4Address(host))
    except ValueError:  # the errors of idna and ipaddress are ValueErrors
        return None
    return host if len(host) <= _MOST_HOST_CHARACTERS and _HOST.fullmatch(host) else None


def _port(text: str, port: str | None, default: int) -> int | None:
    if port is None:
        return None
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 0
    if not 1 <= number <= 65535:
        raise ValueError(f"{text!r} has no valid port; write one from 1 to 65535, or leave it and the colon out")
    return None if number == default else number
