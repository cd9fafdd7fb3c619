"""The client's address behind trusted proxies, and the buckets that limits are counted in.

Any client can send an X-Forwarded-For header. Only the entries that trusted proxies appended, at its right end, are
reliable. Entries left of the first address that is no trusted proxy may be forged.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

NO_ADDRESS: Final = IPv4Address("0.0.0.0")  # noqa: S104  it is never bound to
"""The address of a peer without one: a Unix socket or a test client."""

_MOST_HOPS = 64  # no chain of proxies is longer, and a header of 16 KiB could hold 8,000 entries
_LONGEST_ENTRY = 64  # an IPv6 address in brackets with zone and port
_WIDEST_IPV4 = 8  # 10.0.0.0/8
_WIDEST_IPV6 = 7  # fc00::/7
_MAPPED = IPv6Network("::ffff:0:0/96")


@dataclass(frozen=True, slots=True)
class Bucket:
    """A group of addresses that share a limit. The limit is `weight` times the ordinary one."""

    key: str
    weight: int


def client_address(peer: str | None, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> Address:
    """Return the client's address, an IPv4-mapped one (`::ffff:203.0.113.7`) as IPv4.

    `peer` is the address of the connection, `forwarded_for` the values of all X-Forwarded-For lines in order. The
    lines count only if the peer is in `trusted`. Then the client is the first entry from the right that is not in
    `trusted`. If that entry is no address, or comes after 64 trusted ones, the client is the peer. If every entry is in
    `trusted`, the request comes from the trusted network itself, and the client is the leftmost entry.

    A peer that is no IP address counts as `NO_ADDRESS`. Behind a proxy on a Unix socket `trusted` must contain
    0.0.0.0/32.
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
    """Parse the trusted proxies, each an address or a network in CIDR notation.

    Raises ValueError, which names the fix, for any other text. Also for IPv4 networks wider than /8 and IPv6 networks
    wider than /7, as no organisation's proxies fill one.
    """
    return tuple(_network(text) for text in texts)


def buckets(address: Address) -> tuple[Bucket, ...]:
    """Return the buckets that an address is counted in, narrowest first.

    An IPv4 address is one bucket. An IPv6 subscriber gets at least a /64, and often a /56 or /48 (RFC 6177). So those
    wider networks are counted as well. Their limits are higher, because many subscribers may share one.
    """
    address = _unmapped(address)
    if isinstance(address, IPv4Address):
        return (Bucket(str(address), 1),)
    number = int(address)
    return tuple(
        Bucket(f"{IPv6Address(number >> (128 - prefix) << (128 - prefix))}/{prefix}", weight)
        for prefix, weight in ((64, 1), (56, 4), (48, 16))
    )


def client_network(bucket: str) -> str:
    """Return the network of a client by the widest of its buckets: the /24 of an IPv4 address, the /48 of IPv6."""
    return bucket if "/" in bucket else f"{bucket.rpartition('.')[0]}.0/24"


def _from_the_right(lines: Sequence[str]) -> Iterator[str]:
    """Yield the entries of all lines from right to left, without the empty ones.

    It is lazy: splitting a long hostile header at once would cost time and memory for entries that are never read.
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
    """Parse an IP address that may have brackets, a port and a zone, which are dropped. Return None for other text."""
    return _parse(text) if len(text) <= _LONGEST_ENTRY else None


@lru_cache(maxsize=1024)  # proxies come with every request, and visitors with several
def _parse(text: str) -> Address | None:
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
        host = host.partition("%")[0]  # a zone is valid only on the machine that wrote it (RFC 4007)
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
    host = text.strip().partition("/")[0]
    if ip_address(host) != network.network_address:
        raise ValueError(f"{text!r} has host bits set; write {network} or {host}")
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        network = IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
    if network.prefixlen < (_WIDEST_IPV4 if network.version == 4 else _WIDEST_IPV6):
        raise ValueError(f"{text!r} is too wide, other clients are in it; list the addresses of your proxies")
    return network
