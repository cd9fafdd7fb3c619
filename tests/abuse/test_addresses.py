"""The bucket that a request is counted in: directly and behind real proxies, with honest and with forged headers.

Every client sends one request more than its bucket allows. So exactly the last one is refused, unless some request was
counted for another client. The stored addresses and buckets are checked as well.
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

from app.edge.connections import TIME_TO_SEND
from app.net.client_address import Address, buckets, parse_network
from app.settings import Settings
from tests.abuse.nginx import nginx
from tests.faults.doses import LONG, dose, note
from tests.ports import free_port
from tests.running import ORIGIN, phone, process, service, values

pytestmark = pytest.mark.timeout(1800 if LONG else 300)

REQUESTS = dose(100, 2_000)
"""For every path to the service, for honest headers and for forged ones."""
LIMIT = 4
"""Requests of a bucket per hour."""
PAGE = (Path(__file__).parent.parent.parent / "docs" / "behind-a-proxy.md").read_text(encoding="utf-8")
OUTER = "127.0.0.2"
CDN = "127.77.0.0/16"
TRUSTED = ["127.0.0.1", OUTER, CDN]

FORGERIES: list[Callable[[str], str]] = [
    # Each forges another client's address, and would use up that client's bucket.
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
class AccessPath:
    """A path to a service: its database, the port to connect to, the first client's address, and the step to the next.

    With `proxied` the PROXY protocol names the client's address to the outermost proxy. Otherwise the client connects
    to the service from its own address.
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
    """Sends requests on one connection, one more than allowed. `results` has each phone number and response status."""

    def __init__(self, path: AccessPath, address: Address, headers: Iterator[str], requests: int = LIMIT + 1) -> None:
        self.address = address
        self.results: list[tuple[str, int]] = []
        with closing(path.connect(address)) as connection:
            for _ in range(requests):
                number = phone()
                connection.sendall(post(number, next(headers)))
                answer = http.client.HTTPResponse(connection, method="POST")
                answer.begin()
                answer.read()
                self.results.append((number, answer.status))


def post(number: str, header: str) -> bytes:
    body = json.dumps({"site": "shop", "client_phone": number})
    lines = ["POST /v1/callbacks HTTP/1.1", "Host: callback.example", f"Origin: {ORIGIN}"]
    lines += ["Content-Type: application/json", f"Content-Length: {len(body)}", *([header] if header else [])]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode("latin-1")


def honest(others: Sequence[Address]) -> Iterator[str]:
    return itertools.repeat("")


def forged(others: Sequence[Address]) -> Iterator[str]:
    """Return headers that forge the address of each of the others in turn, by one forgery after another."""
    forgeries = itertools.cycle(random.sample(FORGERIES, len(FORGERIES)))
    return (forge(str(other)) for other, forge in zip(itertools.cycle(others), forgeries, strict=False))


HEADERS = {"honest": honest, "forged": forged}


def count_miscounted(path: AccessPath, kind: str, clients: int) -> int:
    """Count the miscounted requests of concurrent clients. Forged addresses are those of all other clients."""
    begin = clients * list(HEADERS).index(kind)
    addresses = path.clients(0, len(HEADERS) * clients)

    def send(number: int) -> Client:
        return Client(path, addresses[number], HEADERS[kind]([*addresses[number + 1 :], *addresses[:number]]))

    with ThreadPoolExecutor(8) as pool:
        finished = list(pool.map(send, range(begin, begin + clients)))
    return sum(miscounted(path, client) for client in finished)


def miscounted(path: AccessPath, client: Client) -> int:
    """Count a client's requests that were not counted as its own, by their responses and by the stored rows."""
    own = [str(client.address), buckets(client.address)[0].key]
    query = "SELECT client_phone, client_ip, client_bucket FROM callbacks"
    with closing(sqlite3.connect(f"file:{path.database}?mode=ro", uri=True)) as database:
        recorded = {number: owner for number, *owner in database.execute(query)}
    actual = [(status, recorded.get(number)) for number, status in client.results]
    expected = [(202, own)] * LIMIT + [(429, None)] * (len(actual) - LIMIT)
    return sum(one != other for one, other in zip(actual, expected, strict=True))


def service_values(folder: Path, trusted: Sequence[str]) -> dict[str, Any]:
    return values(
        folder,
        trusted_proxies=list(trusted),
        limits={"flood": f"{LIMIT}/hour"},
        sites={"shop": {"challenge": "off"}},
        calls_per_second=1,
    )


def server(listen: str, to: int, *more: str) -> str:
    """Return an nginx server block with the location of the docs page, another port, and the directives in `more`."""
    (lines,) = re.findall(r"^```nginx\n(location .*?)^}\n```$", PAGE, re.MULTILINE | re.DOTALL)
    assert lines.count("127.0.0.1:8000") == 1
    lines = lines.replace("127.0.0.1:8000", f"127.0.0.1:{to}")
    return f"server {{ listen {listen}; {lines} {''.join(f'{line}; ' for line in more)} }} }}\n"


def edge_server(port: int, to: int, *more: str) -> str:
    """Return the server block of an outermost proxy, to which clients connect by the PROXY protocol."""
    real_ip = "set_real_ip_from 127.0.0.0/8", "real_ip_header proxy_protocol"
    return server(f"127.0.0.1:{port} proxy_protocol", to, *real_ip, *more)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, AccessPath]]:
    """One service behind its owner's nginx, and in front of that another nginx, and a CDN with several addresses."""
    folder = tmp_path_factory.mktemp("service")
    database = folder / "callbacks.db"
    ours, behind, outer, cdn = (free_port() for _ in range(4))
    with contextlib.ExitStack() as stack:

        def run_nginx(name: str, servers: str, *ports: int) -> None:
            stack.enter_context(nginx(tmp_path_factory.mktemp(name), servers, ports))

        running = stack.enter_context(process(folder, service_values(folder, TRUSTED)))
        port = int(running.url.rpartition(":")[2])
        run_nginx("ours", edge_server(ours, port) + server(f"127.0.0.1:{behind}", port), ours, behind)
        run_nginx("outer", edge_server(outer, behind, f"proxy_bind {OUTER}"), outer)
        points = "split_clients $request_id $point { 50% 127.77.0.8; 30% 127.77.200.9; * 127.77.255.254; }\n"
        cdn_directives = "proxy_bind $point", "proxy_set_header CF-Connecting-IP $remote_addr"
        run_nginx("cdn", points + edge_server(cdn, behind, *cdn_directives), cdn)
        yield {
            "direct": AccessPath(database, port, "127.9.0.1", proxied=False),
            "nginx": AccessPath(database, ours, "45.10.0.1"),
            "two proxies": AccessPath(database, outer, "45.20.0.1"),
            "a CDN and nginx": AccessPath(database, cdn, "45.30.0.1"),
            "IPv6, nginx": AccessPath(database, ours, "2a02:6b8::1", step=2**80),
            "IPv6, a CDN and nginx": AccessPath(database, cdn, "2a03:6b8::1", step=2**80),
        }


def test_the_docs_page_names_trusted_proxies_and_the_deadline_of_connections_correctly() -> None:
    examples = re.findall(r"^TRUSTED_PROXIES=([\d.,]+)$", PAGE, re.MULTILINE)
    assert all(parse_network(network) for networks in examples for network in networks.split(","))
    assert examples[0] == "127.0.0.1"
    assert re.findall(r"TRUSTED_PROXIES: (\S+)", PAGE) == re.findall(r"ipv4_address: (\S+)", PAGE) != []
    assert f"after {TIME_TO_SEND:.0f} seconds" in PAGE


@pytest.mark.parametrize("kind", HEADERS)
@pytest.mark.parametrize(
    "name", ["direct", "nginx", "two proxies", "a CDN and nginx", "IPv6, nginx", "IPv6, a CDN and nginx"]
)
def test_no_request_is_counted_in_a_wrong_bucket(paths: dict[str, AccessPath], name: str, kind: str) -> None:
    count = count_miscounted(paths[name], kind, REQUESTS // (LIMIT + 1))
    note(f"addresses, {name}, {kind} headers", f"{count} wrong buckets of {REQUESTS}")
    assert count == 0


@pytest.mark.parametrize("kind", HEADERS)
def test_no_request_is_counted_in_a_wrong_bucket_on_a_dual_stack_socket(tmp_path: Path, kind: str) -> None:
    if not has_ipv6():
        note("addresses, direct by IPv6", "this machine has no IPv6")
        return
    with service(Settings.model_validate(service_values(tmp_path, TRUSTED)), listening=dual_stack_socket()) as here:
        path = AccessPath(tmp_path / "callbacks.db", int(here.url.rpartition(":")[2]), "127.9.0.1", proxied=False)
        count = count_miscounted(path, kind, REQUESTS // (LIMIT + 1))
        note(f"addresses, IPv4 at an IPv6 socket, {kind} headers", f"{count} wrong buckets of {REQUESTS}")
        local = Client(path, ip_address("::1"), HEADERS[kind](path.clients(0, 50)), REQUESTS)
        note(f"addresses, direct by IPv6, {kind} headers", f"{miscounted(path, local)} wrong buckets of {REQUESTS}")
        assert count == miscounted(path, local) == 0


def has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as probe, contextlib.suppress(OSError):
        probe.bind(("::1", 0))
        return True
    return False


def dual_stack_socket() -> socket.socket:
    return socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)


@pytest.mark.parametrize(
    ("trusted", "kind"), [([], "honest"), (["127.0.0.1", "45.10.0.0/16"], "forged")], ids=["too little", "too much"]
)
def test_this_test_detects_wrong_buckets(tmp_path: Path, trusted: list[str], kind: str) -> None:
    ours = free_port()
    with service(Settings.model_validate(service_values(tmp_path, trusted))) as running:
        folder = tmp_path / "nginx"
        folder.mkdir()
        with nginx(folder, edge_server(ours, int(running.url.rpartition(":")[2])), [ours]):
            assert count_miscounted(AccessPath(tmp_path / "callbacks.db", ours, "45.10.0.1"), kind, 20) > 0
