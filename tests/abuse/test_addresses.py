"""Whose bucket a request is counted in: directly, and behind real proxies, with honest headers and with forged ones.

Every client sends as many requests as one bucket may, and one more. So the last is refused and no other, unless one
request anywhere was counted for somebody else. The addresses and buckets that were written down are read as well.
"""

import contextlib
import http.client
import itertools
import json
import random
import re
import socket
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from app.edge.waiting import TIME_TO_SEND
from app.net.client_address import Address, buckets, parse_networks
from app.settings import Settings
from tests.abuse.nginx import nginx
from tests.faults.doses import LONG, dose, note
from tests.ports import free_port
from tests.running import ORIGIN, phone, process, service, values

pytestmark = pytest.mark.timeout(1800 if LONG else 300)

REQUESTS = dose(100, 2_000)
"""For every way to the service, with honest headers and with forged ones each."""
LIMIT = 4
"""Of a bucket, an hour."""
PAGE = (Path(__file__).parent.parent.parent / "docs" / "behind-a-proxy.md").read_text(encoding="utf-8")
OUTER = "127.0.0.2"
CDN = "127.77.0.0/16"
TRUSTED = ["127.0.0.1", OUTER, CDN]

FORGERIES: list[Callable[[str], str]] = [
    # Each takes another client's address, whose bucket it would use up.
    lambda other: f"X-Forwarded-For: {other}",
    lambda other: f"x-forwarded-for: {other}\r\nX-FORWARDED-FOR: {other}\r\nX-Forwarded-For: {other}",
    lambda other: f"X-Forwarded-For: {other}, 127.0.0.1",
    lambda other: f"X-Forwarded-For: {other}, 127.77.0.8, {OUTER}",
    lambda other: f"X-Forwarded-For: {other}" + ", 127.0.0.1" * 70,
    lambda other: "X-Forwarded-For: " + ", ".join([other] * 100),
    lambda other: f"X-Forwarded-For: {other}:443",
    lambda other: f"X-Forwarded-For: [{other}]:443",
    lambda other: f"X-Forwarded-For: ::ffff:{other}",
    lambda other: f"X-Forwarded-For: {other}\r\nX-Forwarded-For:",
    lambda other: f"X-Forwarded-For: {other},,, ,",
    lambda other: "X-Forwarded-For: unknown, _hidden, <script>, ../../etc/passwd, 0x7f000001",
    lambda other: "X-Forwarded-For: " + "," * 4000,
    lambda other: f"X-Forwarded-For: \xff\xfe\t{other}\t",
    lambda other: f"X_Forwarded_For: {other}\r\nX_FORWARDED_FOR: {other}",
    lambda other: f"Forwarded: for={other};by=127.0.0.1",
    lambda other: f"X-Real-IP: {other}\r\nTrue-Client-IP: {other}\r\nCF-Connecting-IP: {other}",
    lambda other: f"X-Client-IP: {other}\r\nX-Cluster-Client-IP: {other}\r\nFastly-Client-IP: {other}",
    lambda other: f"X-Forwarded-For: {other}\r\nConnection: keep-alive, X-Forwarded-For",
]


@dataclass(frozen=True, slots=True)
class Way:
    """A way to a service: where it writes, the port to connect to, the first client's address, the others' distance.

    A proxy at the edge of the network is told by the PROXY protocol whose connection it has, as if it were theirs; to
    the service itself, a client connects from its own address.
    """

    database: Path
    port: int
    first: str
    step: int = 1
    proxied: bool = True

    def clients(self, begin: int, end: int) -> list[Address]:
        first = ip_address(self.first)
        return [first + number * self.step for number in range(begin, end)]

    def connect(self, client: Address) -> socket.socket:
        if self.proxied:
            connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
            to = "192.0.2.1" if client.version == 4 else "2001:db8::1"
            connection.sendall(f"PROXY TCP{client.version} {client} {to} 40000 443\r\n".encode())
            return connection
        to = "127.0.0.1" if client.version == 4 else "::1"
        return socket.create_connection((to, self.port), timeout=60, source_address=(str(client), 0))


class Client:
    """Sends as much as it may and more, by one connection; knows the numbers it asked for, and the answers."""

    def __init__(self, way: Way, address: Address, headers: Iterator[str], requests: int = LIMIT + 1) -> None:
        self.address = address
        self.asked: list[tuple[str, int]] = []
        with closing(way.connect(address)) as connection:
            for _ in range(requests):
                number = phone()
                connection.sendall(post(number, next(headers)))
                answer = http.client.HTTPResponse(connection, method="POST")
                answer.begin()
                answer.read()
                self.asked.append((number, answer.status))


def post(number: str, more: str) -> bytes:
    body = json.dumps({"site": "shop", "client_phone": number})
    lines = ["POST /v1/callbacks HTTP/1.1", "Host: callback.example", f"Origin: {ORIGIN}"]
    lines += ["Content-Type: application/json", f"Content-Length: {len(body)}", *([more] if more else [])]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode("latin-1")


def honest(others: Sequence[Address]) -> Iterator[str]:
    return itertools.repeat("")


def forged(others: Sequence[Address]) -> Iterator[str]:
    """Give headers in which each of the others is forged, by one way after another."""
    ways = itertools.cycle(random.sample(FORGERIES, len(FORGERIES)))
    return (forge(str(other)) for other, forge in zip(itertools.cycle(others), ways, strict=False))


HEADERS = {"honest": honest, "forged": forged}


def wrong_buckets(way: Way, kind: str, clients: int) -> int:
    """Let clients ask, some at a time. Who forges takes the addresses of all others, also of those who are honest."""
    begin = clients * list(HEADERS).index(kind)
    everybody = way.clients(0, len(HEADERS) * clients)

    def ask(number: int) -> Client:
        return Client(way, everybody[number], HEADERS[kind]([*everybody[number + 1 :], *everybody[:number]]))

    with ThreadPoolExecutor(8) as pool:
        asked = list(pool.map(ask, range(begin, begin + clients)))
    return sum(wrong(way, client) for client in asked)


def wrong(way: Way, client: Client) -> int:
    """Count a client's requests that were not counted as its own: by the answers, and by what was written down."""
    own = [str(client.address), buckets(client.address)[0].key]
    query = "SELECT client_phone, client_ip, client_bucket FROM callbacks"
    with closing(sqlite3.connect(f"file:{way.database}?mode=ro", uri=True)) as database:
        recorded = {number: owner for number, *owner in database.execute(query)}
    found = [(status, recorded.get(number)) for number, status in client.asked]
    expected = [(202, own)] * LIMIT + [(429, None)] * (len(found) - LIMIT)
    return sum(one != other for one, other in zip(found, expected, strict=True))


def chosen(folder: Path, trusted: Sequence[str]) -> dict[str, Any]:
    return values(
        folder,
        trusted_proxies=list(trusted),
        limits={"flood": f"{LIMIT}/hour"},
        sites={"shop": {"challenge": "off"}},
        calls_per_second=1,
    )


def server(listen: str, to: int, *more: str) -> str:
    """Make a server block with the lines of the page, for another port, and what else is there in the test."""
    (lines,) = re.findall(r"^```nginx\n(location .*?)^}\n```$", PAGE, re.MULTILINE | re.DOTALL)
    assert lines.count("127.0.0.1:8000") == 1
    lines = lines.replace("127.0.0.1:8000", f"127.0.0.1:{to}")
    return f"server {{ listen {listen}; {lines} {''.join(f'{line}; ' for line in more)} }} }}\n"


def at_the_edge(port: int, to: int, *more: str) -> str:
    """Make one for those who connect from outside."""
    outside = "set_real_ip_from 127.0.0.0/8", "real_ip_header proxy_protocol"
    return server(f"127.0.0.1:{port} proxy_protocol", to, *outside, *more)


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Way]]:
    """One service, its owner's nginx before it, and before that another nginx, and a CDN of many addresses."""
    folder = tmp_path_factory.mktemp("service")
    database = folder / "callbacks.db"
    ours, behind, outer, cdn = (free_port() for _ in range(4))
    with contextlib.ExitStack() as open_until_the_end:

        def run_nginx(name: str, servers: str, *ports: int) -> None:
            open_until_the_end.enter_context(nginx(tmp_path_factory.mktemp(name), servers, ports))

        there = open_until_the_end.enter_context(process(folder, chosen(folder, TRUSTED)))
        port = int(there.url.rpartition(":")[2])
        run_nginx("ours", at_the_edge(ours, port) + server(f"127.0.0.1:{behind}", port), ours, behind)
        run_nginx("outer", at_the_edge(outer, behind, f"proxy_bind {OUTER}"), outer)
        points = "split_clients $request_id $point { 50% 127.77.0.8; 30% 127.77.200.9; * 127.77.255.254; }\n"
        as_it_does = "proxy_bind $point", "proxy_set_header CF-Connecting-IP $remote_addr"
        run_nginx("cdn", points + at_the_edge(cdn, behind, *as_it_does), cdn)
        yield {
            "direct": Way(database, port, "127.9.0.1", proxied=False),
            "nginx": Way(database, ours, "45.10.0.1"),
            "two proxies": Way(database, outer, "45.20.0.1"),
            "a CDN and nginx": Way(database, cdn, "45.30.0.1"),
            "IPv6, nginx": Way(database, ours, "2a02:6b8::1", step=2**80),
            "IPv6, a CDN and nginx": Way(database, cdn, "2a03:6b8::1", step=2**80),
        }


def test_the_page_tells_to_trust_the_proxy_alone_and_the_time_that_connections_have() -> None:
    told = re.findall(r"^TRUSTED_PROXIES=([\d.,]+)$", PAGE, re.MULTILINE)
    assert all(parse_networks(networks.split(",")) for networks in told)
    assert told[0] == "127.0.0.1"
    assert re.findall(r"TRUSTED_PROXIES: (\S+)", PAGE) == re.findall(r"ipv4_address: (\S+)", PAGE) != []
    assert f"after {TIME_TO_SEND:.0f} seconds" in PAGE


@pytest.mark.parametrize("kind", HEADERS)
@pytest.mark.parametrize(
    "name", ["direct", "nginx", "two proxies", "a CDN and nginx", "IPv6, nginx", "IPv6, a CDN and nginx"]
)
def test_no_request_is_counted_in_a_wrong_bucket(ways: dict[str, Way], name: str, kind: str) -> None:
    count = wrong_buckets(ways[name], kind, REQUESTS // (LIMIT + 1))
    note(f"addresses, {name}, {kind} headers", f"{count} wrong buckets of {REQUESTS}")
    assert count == 0


@pytest.mark.parametrize("kind", HEADERS)
def test_no_request_is_counted_in_a_wrong_bucket_where_a_socket_takes_ipv4_and_ipv6(tmp_path: Path, kind: str) -> None:
    if not has_ipv6():
        note("addresses, direct by IPv6", "this machine has no IPv6")
        return
    with service(Settings.model_validate(chosen(tmp_path, TRUSTED)), listening=both_kinds()) as here:
        way = Way(tmp_path / "callbacks.db", int(here.url.rpartition(":")[2]), "127.9.0.1", proxied=False)
        count = wrong_buckets(way, kind, REQUESTS // (LIMIT + 1))
        note(f"addresses, IPv4 at an IPv6 socket, {kind} headers", f"{count} wrong buckets of {REQUESTS}")
        local = Client(way, ip_address("::1"), HEADERS[kind](way.clients(0, 50)), REQUESTS)
        note(f"addresses, direct by IPv6, {kind} headers", f"{wrong(way, local)} wrong buckets of {REQUESTS}")
        assert count == wrong(way, local) == 0


def has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as probe, contextlib.suppress(OSError):
        probe.bind(("::1", 0))
        return True
    return False


def both_kinds() -> socket.socket:
    return socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)


@pytest.mark.parametrize(
    ("trusted", "kind"), [([], "honest"), (["127.0.0.1", "45.10.0.0/16"], "forged")], ids=["too little", "too much"]
)
def test_a_wrong_bucket_would_be_noticed_were_there_one(tmp_path: Path, trusted: list[str], kind: str) -> None:
    ours = free_port()
    with service(Settings.model_validate(chosen(tmp_path, trusted))) as there:
        folder = tmp_path / "nginx"
        folder.mkdir()
        with nginx(folder, at_the_edge(ours, int(there.url.rpartition(":")[2])), [ours]):
            assert wrong_buckets(Way(tmp_path / "callbacks.db", ours, "45.10.0.1"), kind, 20) > 0
