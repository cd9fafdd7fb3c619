"""Finds the address a request really comes from, and the buckets its limits are counted in.

X-Forwarded-For is a text anybody can send. Only what trusted proxies appended to it, at its right end, is worth
anything; what stands left of the first address that isn't a trusted proxy was written by a stranger.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

NO_ADDRESS: Final = IPv4Address("0.0.0.0")  # noqa: S104  it is never bound to
"""Stands for a peer without an IP address: a Unix socket or a test client."""

_MOST_HOPS = 64  # more proxies than anybody has; a header of 16 kB could make us look at 8,000
_LONGEST_ENTRY = 64  # an IPv6 address in brackets with zone and port
_WIDEST_IPV4 = 8  # 10.0.0.0/8
_WIDEST_IPV6 = 7  # fc00::/7
_MAPPED = IPv6Network("::ffff:0:0/96")


@dataclass(frozen=True, slots=True)
class Bucket:
    """A group of addresses that share a limit. It may use `weight` times the ordinary limit."""

    key: str
    weight: int


def client_address(peer: str | None, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> Address:
    """Give the client's address, IPv4 also where it was written as IPv6 (`::ffff:203.0.113.7`).

    `peer` is the address of the connection, `forwarded_for` the values of all X-Forwarded-For lines in their order.
    The lines are read only if the peer is in `trusted`: the first entry from the right that is not in `trusted` is
    the client. If that entry is no address, or stands behind more than 64 trusted ones, the client is the peer. If
    every entry is in `trusted`, the request began inside the trusted network and the client is the leftmost entry.

    A peer that is no IP address counts as `NO_ADDRESS`, so behind a proxy on a Unix socket `trusted` has to
    hold 0.0.0.0/32.
    """
    connection = NO_ADDRESS if peer is None else parse_address(peer) or NO_ADDRESS
    if not _within(connection, trusted):
        return connection
    client = connection
    for hop, entry in enumerate(_from_the_right(forwarded_for)):
        address = parse_address(entry)
        if address is None or hop == _MOST_HOPS:
            return connection
        client = address
        if not _within(address, trusted):
            break
    return client


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Read the trusted proxies, each an address or a network in CIDR notation.

    Raises ValueError, naming the cure, for anything else and for networks so wide that strangers could be in them.
    """
    return tuple(_network(text) for text in texts)


def buckets(address: Address) -> tuple[Bucket, ...]:
    """Give the buckets an address is counted in, narrowest first.

    One IPv4 address is one bucket. An IPv6 customer gets a /64 at least and often a /56 or /48 (RFC 6177), so the
    wider networks are counted too, with more room as there may be many customers in them.
    """
    address = _unmapped(address)
    if isinstance(address, IPv4Address):
        return (Bucket(str(address), 1),)
    number = int(address)
    return tuple(
        Bucket(f"{IPv6Address(number >> (128 - prefix) << (128 - prefix))}/{prefix}", weight)
        for prefix, weight in ((64, 1), (56, 4), (48, 16))
    )


def _from_the_right(lines: Sequence[str]) -> Iterator[str]:
    """Give the entries of all lines, last one first, without splitting what nobody will read. Empty ones are left out.

    RFC 9110, section 5.3: several lines are one list; section 5.6.1.2: a recipient ignores empty elements.
    """
    for line in reversed(lines):
        end = len(line)
        while end >= 0:
            comma = line.rfind(",", 0, end)
            entry = line[comma + 1 : end].strip()
            if entry:
                yield entry
            end = comma


def parse_address(text: str) -> Address | None:
    """Read an address that may carry brackets, a port and a zone."""
    if len(text) > _LONGEST_ENTRY:
        return None
    host, port = text, ""
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        if not bracket or ":" not in host or (port and not port.startswith(":")):
            return None
        port = port[1:]
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if port and not (port.isascii() and port.isdigit()):
        return None
    if ":" in host:
        host = host.partition("%")[0]  # a zone means something on the machine that wrote it only
    try:
        return _unmapped(ip_address(host))
    except ValueError:
        return None


def _unmapped(address: Address) -> Address:
    return address if isinstance(address, IPv4Address) else address.ipv4_mapped or address


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _network(text: str) -> Network:
    if text.strip() == "*":
        raise ValueError("'*' would let anybody forge an address; list the addresses of your proxies")
    try:
        network = ip_network(text.strip(), strict=False)
    except ValueError:
        raise ValueError(
            f"{text!r} is neither an address nor a network; write one like 10.0.0.5 or 10.0.0.0/24"
        ) from None
    written = text.strip().partition("/")[0]
    if ip_address(written) != network.network_address:
        raise ValueError(f"{text!r} has bits set behind its prefix; write {network} or {written}")
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        network = IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
    if network.prefixlen < (_WIDEST_IPV4 if network.version == 4 else _WIDEST_IPV6):
        raise ValueError(f"{text!r} holds strangers' addresses too; list the addresses of your proxies")
    return network
