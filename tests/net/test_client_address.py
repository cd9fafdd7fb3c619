"""The client's address: X-Forwarded-For behind trusted proxies only, and the buckets an address is counted in."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.net.client_address import NO_ADDRESS, Bucket, buckets, client_address, parse_network

PROXIES = (parse_network("10.0.0.0/8"), parse_network("fd00::/8"))
PROXY = "10.0.0.1"
VISITOR = ip_address("203.0.113.7")

trusted_entries = st.integers(0, 2**24 - 1).map(lambda number: str(IPv4Address((10 << 24) + number)))
any_entries = st.one_of(st.ip_addresses().map(str), trusted_entries)


def test_the_header_of_an_untrusted_peer_is_ignored() -> None:
    assert client_address("203.0.113.7", ["198.51.100.1"], PROXIES) == VISITOR
    assert client_address("10.0.0.1", ["198.51.100.1"], ()) == ip_address(PROXY)


def test_a_trusted_peer_without_the_header_is_the_client() -> None:
    assert client_address(PROXY, [], PROXIES) == ip_address(PROXY)


@pytest.mark.parametrize(
    "lines",
    [
        ["203.0.113.7"],
        ["203.0.113.7, 10.0.0.2"],
        ["198.51.100.1, 203.0.113.7, 10.0.0.3,10.0.0.2"],
        ["198.51.100.1", "203.0.113.7", "10.0.0.2"],
        ["198.51.100.1", "203.0.113.7, 10.0.0.2, fd00::2"],
        ["198.51.100.1, 203.0.113.7", ""],
        ["198.51.100.1,\t203.0.113.7 ,, 10.0.0.2 , "],
        ["garbage, <script>, 203.0.113.7"],
    ],
)
def test_the_client_is_the_first_untrusted_entry_from_the_right_over_all_lines(lines: list[str]) -> None:
    assert client_address(PROXY, lines, PROXIES) == VISITOR


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("203.0.113.7:5000", "203.0.113.7"),
        ("[203.0.113.7]", None),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("[::ffff:203.0.113.7]:443", "203.0.113.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:DB8::1]:443", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:443", "fe80::1"),
        ("203.0.113.7%eth0", None),
        ("203.0.113.7:port", None),
        ("203.0.113.7:٤٤٣", None),
        ("[2001:db8::1]443", None),
        ("[2001:db8::1", None),
        ("203.0.113.007", None),
        ("٢٠٣.0.113.7", None),
        ("3405803783", None),
        ("unknown", None),
        ("_hidden", None),
        ("203.0.113.7 198.51.100.1", None),
        ("for=203.0.113.7", None),
        ("fe80::1%" + "e" * 100, None),
        ("1" * 16_000, None),
    ],
)
def test_an_entry_is_parsed_with_port_brackets_and_zone_or_the_peer_is_the_client(
    entry: str, address: str | None
) -> None:
    expected = ip_address(address or PROXY)
    assert client_address(PROXY, [f"198.51.100.1, {entry}"], PROXIES) == expected


def test_a_trusted_peer_is_recognised_as_an_ipv4_mapped_address() -> None:
    assert client_address("::ffff:10.0.0.1", ["203.0.113.7, ::ffff:10.0.0.2"], PROXIES) == VISITOR


def test_the_leftmost_entry_is_the_client_where_all_are_trusted() -> None:
    assert client_address(PROXY, ["10.0.0.4, 10.0.0.3", "10.0.0.2"], PROXIES) == ip_address("10.0.0.4")


@pytest.mark.parametrize("peer", [None, "", "testclient", "/run/app.sock", "10.0.0.1, 10.0.0.2", "\ud800"])
def test_a_peer_without_an_address_counts_as_no_address_and_is_not_trusted(peer: str | None) -> None:
    assert client_address(peer, ["203.0.113.7"], PROXIES) == NO_ADDRESS


def test_a_proxy_on_a_unix_socket_can_be_trusted() -> None:
    assert client_address(None, ["198.51.100.1, 203.0.113.7"], (parse_network("0.0.0.0/32"),)) == VISITOR


def test_more_than_64_trusted_entries_are_not_parsed() -> None:
    assert client_address(PROXY, ["203.0.113.7" + ", 10.0.0.2" * 63], PROXIES) == VISITOR
    assert client_address(PROXY, ["203.0.113.7" + ", 10.0.0.2" * 64], PROXIES) == ip_address(PROXY)
    assert client_address(PROXY, [",".join(["10.0.0.2"] * 10_000)], PROXIES) == ip_address(PROXY)
    assert client_address(PROXY, ["," * 16_000], PROXIES) == ip_address(PROXY)


@settings(deadline=None)
@given(st.lists(st.lists(any_entries, max_size=8), max_size=4))
def test_the_client_is_the_rightmost_untrusted_address_of_any_lines(lines: list[list[str]]) -> None:
    entries = [ip_address(entry) for line in lines for entry in line]
    unmapped = [getattr(entry, "ipv4_mapped", None) or entry for entry in entries]
    untrusted = [entry for entry in unmapped if not any(entry in network for network in PROXIES)]
    expected = untrusted[-1] if untrusted else [*unmapped, ip_address(PROXY)][0]
    assert client_address(PROXY, [", ".join(line) for line in lines], PROXIES) == expected


@settings(deadline=None)
@given(st.lists(st.text(st.characters())), any_entries)
def test_no_forged_header_changes_the_address_that_the_proxy_appended(forged: list[str], seen: str) -> None:
    one_line = client_address(PROXY, [",".join([*forged, "198.51.100.1"]) + "," + str(VISITOR)], PROXIES)
    assert one_line == client_address(PROXY, [*forged, f"{VISITOR}, 10.0.0.2"], PROXIES) == VISITOR
    direct = client_address(seen, forged, ())
    assert direct == client_address(seen, [], ())


@settings(deadline=None)
@given(st.one_of(st.none(), st.text(st.characters())), st.lists(st.text(st.characters())))
@example("::1%", ["[]"])
@example("%", ["[::%1]:"])
def test_any_text_results_in_an_address(peer: str | None, lines: list[str]) -> None:
    trusted = (parse_network("0.0.0.0/32"),)
    assert isinstance(client_address(peer, lines, trusted), IPv4Address | IPv6Address)


def test_networks_are_parsed_from_addresses_and_cidr() -> None:
    assert list(map(parse_network, ["10.0.0.5", " 10.1.0.0/16 ", "fd00::/8", "2001:db8::1"])) == [
        ip_network("10.0.0.5/32"),
        ip_network("10.1.0.0/16"),
        ip_network("fd00::/8"),
        ip_network("2001:db8::1/128"),
    ]


def test_a_network_of_mapped_addresses_is_the_ipv4_network() -> None:
    assert parse_network("::ffff:10.0.0.0/104") == IPv4Network("10.0.0.0/8")


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("*", "list the addresses of your proxies"),
        ("0.0.0.0/0", "list the addresses of your proxies"),
        ("::/0", "list the addresses of your proxies"),
        ("::ffff:0:0/96", "list the addresses of your proxies"),
        ("0.0.0.0/1", "list the addresses of your proxies"),
        ("2000::/3", "list the addresses of your proxies"),
        ("10.0.0.5/24", r"write 10\.0\.0\.0/24 or 10\.0\.0\.5"),
        ("2001:db8::1/32", "write 2001:db8::/32 or 2001:db8::1"),
        ("10.0.0.0/33", "write one like"),
        ("10.0.0.1:80", "write one like"),
        ("nginx", "write one like"),
        ("", "write one like"),
    ],
)
def test_an_invalid_or_too_wide_network_is_refused_with_the_fix(text: str, fix: str) -> None:
    with pytest.raises(ValueError, match=fix):
        parse_network(text)


def test_an_ipv4_address_is_one_bucket() -> None:
    assert buckets(VISITOR) == (Bucket("203.0.113.7", 1),)
    assert buckets(ip_address("::ffff:203.0.113.7")) == (Bucket("203.0.113.7", 1),)


def test_an_ipv6_address_is_in_three_buckets() -> None:
    assert buckets(ip_address("2001:db8:1:2aff:3:4:5:6")) == (
        Bucket("2001:db8:1:2aff::/64", 1),
        Bucket("2001:db8:1:2a00::/56", 4),
        Bucket("2001:db8:1::/48", 16),
    )


@settings(deadline=None)
@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_all_addresses_of_one_64_share_their_buckets(address: IPv6Address, interface: int) -> None:
    neighbour = IPv6Address((int(address) >> 64 << 64) + interface)
    if address.ipv4_mapped is None and neighbour.ipv4_mapped is None:
        assert buckets(address) == buckets(neighbour)
        assert all(address in ip_network(bucket.key) for bucket in buckets(address))
