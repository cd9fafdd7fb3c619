"""Which web origins may use a site: exact ones, and wildcards for every subdomain of a host.

An origin is compared as the text a browser sends in its Origin header (RFC 6454, section 6.2): lower case, punycode,
no default port, no path. A client that writes it any other way is no browser and is refused.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

import idna

NO_ORIGIN: Final = r"(?!)"
"""A regular expression that matches nothing: the `regex` of no patterns at all."""

_PATTERN = re.compile(r"(?P<scheme>https?)://(?P<host>\[[^\]]*\]|[^:\[\]]*)(?::(?P<port>.*))?", re.I | re.A)
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"  # browsers let underscores pass
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_ENDS_IN_A_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")  # WHATWG URL: such a host is IPv4 or wrong
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MOST_HOST_CHARACTERS = 253
_LONGEST_ORIGIN = len("https://") + _MOST_HOST_CHARACTERS + len(":65535")


@dataclass(frozen=True, slots=True)
class OriginPattern:
    """One allowed origin; with `wildcard`, every host one or more labels below `host`, but not `host` itself.

    `host` is as browsers serialise it. `port` is None where it is the scheme's default.
    """

    scheme: str
    host: str
    port: int | None
    wildcard: bool

    @property
    def is_trusted(self) -> bool:
        """Tell whether browsers trust these pages (W3C Secure Contexts, 3.1): HTTPS, or this very machine."""
        if self.scheme == "https" or self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        return self.host == "[::1]" or re.fullmatch(r"127(\.[0-9]+){3}", self.host) is not None

    def __str__(self) -> str:
        return f"{self.scheme}://{'*.' if self.wildcard else ''}{self.host}{self._port}"

    def regex(self) -> str:
        """Give a regular expression for the whole origin."""
        if not self.wildcard:
            return re.escape(str(self))
        below = rf"(?=.{{1,{_LONGEST_ORIGIN}}}\Z){re.escape(self.scheme + '://')}(?:{_LABEL}\.)+"
        return below + re.escape(self.host + self._port)

    @property
    def _port(self) -> str:
        return "" if self.port is None else f":{self.port}"


class Origins:
    """The origins of one site or of several, made from texts as `parse_origin_pattern` reads them."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self.patterns = tuple(map(parse_origin_pattern, patterns))
        self._exact = frozenset(str(pattern) for pattern in self.patterns if not pattern.wildcard)
        self._wildcard = re.compile(_union(pattern.regex() for pattern in self.patterns if pattern.wildcard))

    def allows(self, origin: str) -> bool:
        """Say whether an Origin header's value is one of these origins."""
        return origin in self._exact or self._wildcard.fullmatch(origin) is not None

    def regex(self) -> str:
        """Give a regular expression that fully matches the same texts, for CORSMiddleware's allow_origin_regex."""
        return _union(pattern.regex() for pattern in self.patterns)


def union_regex(sites: Iterable[Origins]) -> str:
    """Give one regular expression for the origins of several sites."""
    return _union(pattern.regex() for site in sites for pattern in site.patterns)


def parse_origin_pattern(text: str) -> OriginPattern:
    """Read one setting: `https://shop.example`, `http://127.0.0.1:8001` or `https://*.shop.example`.

    Upper case, international hosts, default ports and one slash at the end are brought into the browser's form.
    Raises ValueError, naming the cure, for anything else. No list of public suffixes is looked into: whoever writes
    `https://*.co.uk` or `https://*.github.io` lets strangers in.
    """
    if text == "*":
        raise ValueError("'*' would let any page phone people; list the site's origins, like https://shop.example")
    if text == "null":
        raise ValueError("'null' is what any sandboxed page or local file sends; serve the page over https")
    match = _PATTERN.fullmatch(text.removesuffix("/"))
    if match is None or not text.isprintable():
        raise ValueError(f"{text!r} is no origin; write one with its scheme, like https://shop.example")
    scheme, written = match["scheme"].lower(), match["host"]
    behind_scheme = match[0].partition("://")[2]
    if "@" in behind_scheme:  # not echoed, there may be a password in it
        raise ValueError("an origin has no user name or password; write only the scheme, host and port")
    if re.search(r"[/?#\\]", behind_scheme):
        raise ValueError(f"{text!r} has a path; an origin ends after the host and port, like https://shop.example")
    wildcard = written.startswith("*.")
    written = written.removeprefix("*.")
    if "*" in written:
        raise ValueError(f"{text!r} has a wildcard inside; it may only stand first, like https://*.shop.example")
    if written.endswith("."):
        raise ValueError(f"{text!r} ends its host with a dot; leave the dot out")
    host = _host(written)
    if host is None:
        raise ValueError(f"{text!r} has no valid host; write it as the browser's address bar shows it")
    if wildcard and ("." not in host or _ENDS_IN_A_NUMBER.fullmatch(host)):
        raise ValueError(f"{text!r} is too wide; behind '*.' two names have to follow, like https://*.shop.example")
    return OriginPattern(scheme, host, _port(text, match["port"], _DEFAULT_PORTS[scheme]), wildcard)


def _host(written: str) -> str | None:
    """Bring a host into the form browsers send. None if they would not open it, or would rewrite it past knowing."""
    try:
        if written.startswith("["):
            address = IPv6Address(written[1:-1])
            # Browsers write ::ffff:1.2.3.4 in another way than Python does, and refuse zones.
            return None if address.ipv4_mapped or address.scope_id else f"[{address.compressed}]"
        host = written.lower() if written.isascii() else idna.encode(written, uts46=True).decode()
        if _ENDS_IN_A_NUMBER.fullmatch(host):
            return str(IPv4Address(host))
    except ValueError:  # idna's errors and those of ipaddress are ValueErrors
        return None
    return host if len(host) <= _MOST_HOST_CHARACTERS and _HOST.fullmatch(host) else None


def _port(text: str, port: str | None, default: int) -> int | None:
    if port is None:
        return None
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 0
    if not 1 <= number <= 65535:
        raise ValueError(f"{text!r} has no valid port; write one from 1 to 65535, or leave it and the colon out")
    return None if number == default else number


def _union(expressions: Iterable[str]) -> str:
    return "|".join(expressions) or NO_ORIGIN
