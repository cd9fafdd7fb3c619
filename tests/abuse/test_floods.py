"""Floods of connections, and connections that send too much, against the service as a process of its own.

The floods run against its own port, and against nginx with deploy/nginx.conf in front of it.

Meanwhile honest requests are sent at a steady rate, each on a new connection: to the flooded service, and at the same
moment to an identical service that is not flooded. The second one's response times are the baseline for the current
load of the machine. The figures are printed at the end of the run.
"""

import asyncio
import contextlib
import copy
import json
import math
import re
import resource
import select
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.abuse.nginx import shipped_nginx
from tests.faults.doses import LONG, dose, note
from tests.ports import free_port
from tests.running import Process, process, until, values

pytestmark = pytest.mark.timeout(1200 if LONG else 300)

MOST_RISE = 20.0
"""MB of memory."""
LONGEST = 10.0
"""Seconds that a connection may stay open."""
MOST_TIMES = 3.0
"""Factor by which an honest request may take longer."""
ROUNDS = 3
"""Attempts. One good attempt is enough, as other load on the machine may hit only one of the services."""
NOT_NOTICEABLE = 0.01  # seconds; response times below three times this are no slowdown for a visitor
PACE = 50  # honest requests a second
PER_SECOND = 1000  # connections of a flood; few enough to leave one core to the measured requests
FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
REQUESTED_COUNT = dose(2_000, 10_000)
COUNT = min(REQUESTED_COUNT, FILES - 500)
LIMITED = (
    "" if COUNT == REQUESTED_COUNT else f"; the limit of open files allows {COUNT} connections, not {REQUESTED_COUNT}"
)
KINDS = ["idle", "header-drip", "body-drip", "chunk-drip"]
HALF_HEADERS = 1_100
"""More than the 1,024 connections of an nginx without settings."""


class ServicePair(NamedTuple):
    """The flooded service, and an identical one that is not flooded."""

    flooded: Process
    twin: Process


@pytest.fixture(scope="module", params=["bare", "nginx"])
def services(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[ServicePair]:
    with contextlib.ExitStack() as stack:

        def start(name: str) -> Process:
            folder = tmp_path_factory.mktemp(name)
            running = stack.enter_context(process(folder, values(folder, trusted_proxies=["127.0.0.1"])))
            if request.param == "nginx":
                nginx_port = free_port()
                stack.enter_context(shipped_nginx(folder, nginx_port, [port(running)] * 3))
                running = copy.copy(running)
                running.url = f"http://127.0.0.1:{nginx_port}"
            return running

        services = ServicePair(start("flooded"), start("twin"))
        asyncio.run(honest_times(services, asyncio.sleep(2)))  # warms both up: imports, caches
        yield services


def port(service: Process) -> int:
    return int(service.url.rpartition(":")[2])


async def request_time(service: Process, moment: float, number: int) -> float:
    """Send the widget's first request. Return the seconds from `moment` to its response, infinity without one.

    `number`: of the request; each of a hundred visitors has an address of its own.
    """
    try:
        visitor = f"127.1.0.{1 + number % 100}", 0
        reader, writer = await asyncio.open_connection("127.0.0.1", port(service), local_addr=visitor)
        writer.write(b"GET /v1/sites/shop HTTP/1.1\r\nHost: service\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    except ConnectionError:
        return math.inf
    return time.monotonic() - moment if answer.startswith(b"HTTP/1.1 200 ") else math.inf


async def honest_times(services: ServicePair, meanwhile: Any) -> tuple[Any, list[float], list[float]]:
    """Send requests to both services at a steady rate until `meanwhile` ends, without waiting for responses.

    Return the result of `meanwhile`, and the response times of the flooded service and of its twin in seconds.
    """
    running = asyncio.ensure_future(meanwhile)
    pairs: list[tuple[asyncio.Task[float], asyncio.Task[float]]] = []
    began = time.monotonic()
    while not running.done():
        moment = began + len(pairs) / PACE
        await asyncio.sleep(max(0.0, moment - time.monotonic()))
        first, second = services if len(pairs) % 2 else (services.twin, services.flooded)
        number = len(pairs)
        tasks = (
            asyncio.create_task(request_time(first, moment, number)),
            asyncio.create_task(request_time(second, moment, number)),
        )
        pairs.append(tasks if first is services.flooded else (tasks[1], tasks[0]))
    flooded = [await task for task, _ in pairs]
    twin = [await task for _, task in pairs]
    return await running, flooded, twin


async def flood(service: Process, kinds: str, count: int, per_second: float) -> dict[str, float]:
    """Run a flood and return its figures; see flooder.py."""
    command = [sys.executable, "-m", "tests.abuse.flooder", str(port(service)), kinds, str(count), str(per_second)]
    root = Path(__file__).parent.parent.parent
    flooder = await asyncio.create_subprocess_exec(*command, cwd=root, stdout=asyncio.subprocess.PIPE)
    output, _ = await flooder.communicate()
    figures: dict[str, float] = json.loads(output)
    return figures


def p99(times: list[float]) -> float:
    return sorted(times)[len(times) * 99 // 100]


class Memory:
    """The rise of a process's peak memory since construction, in MB."""

    def __init__(self, service: Process) -> None:
        self._folder = Path(f"/proc/{service.process.pid}")
        (self._folder / "clear_refs").write_text("5")  # proc(5): reset the peak
        self._before = self._read("VmRSS")

    @property
    def rise(self) -> float:
        return round(self._read("VmHWM") - self._before, 1)

    def _read(self, name: str) -> float:
        match = re.search(rf"^{name}:\s+(\d+) kB$", (self._folder / "status").read_text(), re.MULTILINE)
        assert match
        return int(match[1]) / 1024


def assert_nothing_unexpected(service: Process) -> None:
    """Check that the service has logged no unexpected error."""
    output = service.output()
    assert "Traceback" not in output
    assert '"level": "ERROR"' not in output


@dataclass(frozen=True, slots=True)
class Outcome:
    """The figures of a flood, and the response times meanwhile in seconds."""

    figures: dict[str, float]
    flooded: list[float]
    twin: list[float]

    @property
    def times_longer(self) -> float:
        return p99(self.flooded) / max(p99(self.twin), NOT_NOTICEABLE)

    @property
    def all_closed_in_time(self) -> bool:
        # A machine too busy to serve the twin in time cannot close connections in time either.
        return self.figures["still open"] == 0 and self.figures["longest"] - max(self.twin) <= LONGEST

    @property
    def all_answered(self) -> bool:
        return math.inf not in self.flooded

    def __str__(self) -> str:
        longer, without = p99(self.flooded) * 1000, p99(self.twin) * 1000
        return f"{self.figures}; p99 {longer:.1f} ms, without {without:.1f} ms, of {len(self.twin)} honest requests"


async def outcome(services: ServicePair, kinds: str, count: int, per_second: float) -> Outcome:
    return Outcome(*await honest_times(services, flood(services.flooded, kinds, count, per_second)))


def open_sockets(service: Process) -> int:
    """Count the open sockets. Not all files: under load the pool opens another connection to SQLite and keeps it."""
    count = 0
    for file in Path(f"/proc/{service.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            count += str(file.readlink()).startswith("socket:")
    return count


@pytest.mark.parametrize(
    ("kinds", "count"),
    [("header-drip", HALF_HEADERS), *((kind, COUNT) for kind in dose([], KINDS)), (",".join(KINDS), COUNT)],
)
async def test_honest_visitors_hardly_notice_a_flood_of_connections(
    services: ServicePair, kinds: str, count: int
) -> None:
    memory, sockets = Memory(services.flooded), open_sockets(services.flooded)
    for _ in range(ROUNDS):
        result = await outcome(services, kinds, count, PER_SECOND)
        note(f"flood of {kinds}", f"{result}; {memory.rise} MB more{LIMITED}")
        if result.all_closed_in_time and result.all_answered and result.times_longer <= MOST_TIMES:
            break
    assert result.figures["opened"] == count
    assert result.all_closed_in_time
    assert result.all_answered
    assert result.times_longer <= MOST_TIMES
    assert memory.rise <= MOST_RISE
    until(lambda: open_sockets(services.flooded) <= sockets)
    assert_nothing_unexpected(services.flooded)


@pytest.mark.parametrize("kind", ["keep-alive", "unread"])
async def test_idle_keep_alive_connections_are_closed_and_use_little_memory(services: ServicePair, kind: str) -> None:
    memory, sockets = Memory(services.flooded), open_sockets(services.flooded)
    for _ in range(ROUNDS):
        result = await outcome(services, kind, COUNT // 4, PER_SECOND / 5)
        note(f"flood of {kind} connections", f"{result}; {memory.rise} MB more")
        if result.all_closed_in_time and result.all_answered:
            break
    assert result.all_closed_in_time
    assert result.all_answered
    assert memory.rise <= MOST_RISE
    until(lambda: open_sockets(services.flooded) <= sockets)
    assert_nothing_unexpected(services.flooded)


POST = b"POST /v1/callbacks HTTP/1.1\r\nHost: service\r\nOrigin: https://shop.example\r\n"
HEAD = POST + b"Content-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
GET = b"GET /v1/sites/shop HTTP/1.1\r\nHost: service\r\n"
ZEROS, LETTERS, LINES = bytes(65536), b"x" * 65536, b"X-A: b\r\n" * 8192
MEGABYTE = 16  # of these

HOSTILE: dict[str, tuple[int | None, bytes, bytes, int]] = {
    # status of the response; first bytes; bytes that follow; how many times
    "a header of 20 MB": (None, GET + b"X-Long: ", LETTERS, 20 * MEGABYTE),
    "20 MB of headers": (400, GET, LINES, 20 * MEGABYTE),
    "a path of 20 MB": (None, b"GET /", LETTERS, 20 * MEGABYTE),
    "a body of 300 MB": (413, HEAD + b"Content-Length: 314572800\r\n\r\n", ZEROS, 300 * MEGABYTE),
    "300 MB in chunks": (413, CHUNKED, b"10000\r\n" + ZEROS + b"\r\n", 300 * MEGABYTE),
    "300 MB in one chunk": (413, CHUNKED + b"12c00000\r\n", ZEROS, 300 * MEGABYTE),
    "20 MB of trailers": (400, CHUNKED + b"0\r\n", LINES, 20 * MEGABYTE),
    "20 MB of trailers after a body": (400, CHUNKED + b"2\r\n{}\r\n0\r\n", LINES, 20 * MEGABYTE),
    "an extension of 20 MB": (None, CHUNKED + b"1;", LETTERS, 20 * MEGABYTE),
    "an invalid chunk size": (400, CHUNKED + b"size\r\n", ZEROS, 1),
    "a negative chunk": (400, CHUNKED + b"-1\r\n", ZEROS, 1),
    "a chunk beyond 64 bits": (400, CHUNKED + b"fffffffffffffffff\r\n", ZEROS, 1),
    "a chunk longer than it says": (400, CHUNKED + b"2\r\n{}}}\r\n", b"", 0),
    "a chunk shorter than it says": (None, CHUNKED + b"5\r\n{}\r\n", b"", 0),
    "a negative length": (400, HEAD + b"Content-Length: -1\r\n\r\n", b"{}", 1),
    "an invalid length": (400, HEAD + b"Content-Length: two\r\n\r\n", b"{}", 1),
    "a length beyond 64 bits": (400, HEAD + b"Content-Length: 99999999999999999999\r\n\r\n", b"{}", 1),
    "two lengths": (400, HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n", b"{}", 1),
    "a length and chunks": (400, HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", b"{}", 1),
    "chunks and a length": (400, HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n", b"{}", 1),
    "chunks inside another encoding": (400, HEAD + b"Transfer-Encoding: chunked, x\r\n\r\n", b"{}", 1),
    "a zero byte in a header": (400, GET + b"X-A: \0\r\n\r\n", b"", 0),
    "a header without a name": (400, GET + b": b\r\n\r\n", b"", 0),
    "no HTTP": (400, b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", ZEROS, 1),
    "ten thousand requests at once": (200, (GET + b"\r\n") * 10_000, b"", 0),
    "ten thousand bodies at once": (422, (HEAD + b"Content-Length: 2\r\n\r\n{}") * 10_000, b"", 0),
    "a response that is not read": (200, GET + b"\r\n", b"", 0),
}
OF_EACH = 10


class Sender:
    """A connection that sends as much as the service accepts, and reads nothing before the service closes it."""

    def __init__(self, service: Process, begins: bytes, follows: bytes, times: int) -> None:
        self._parts = iter([begins, *[follows] * times])
        self._left = b""
        self._socket = socket.create_connection(("127.0.0.1", port(service)), timeout=20)
        self._socket.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLRDHUP)
        self._began = time.monotonic()
        self.duration: float | None = None
        """Seconds until it was closed; None while open."""

    def step(self) -> None:
        """Send as much as fits in the buffer, and record the closing."""
        if self._poll.poll(0):
            self.duration = time.monotonic() - self._began
            return
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while self._left or (part := next(self._parts, b"")):
                self._left = self._left or part
                self._left = self._left[self._socket.send(self._left) :]

    def status(self) -> int | None:
        """Close the connection and return the status of its response, None without one."""
        answer = b""
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while part := self._socket.recv(65536):
                answer += part
        self._socket.close()
        statuses = [int(status) for status in re.findall(rb"^HTTP/1\.1 (\d+) ", answer, re.MULTILINE)]
        assert len(statuses) <= 1, answer
        return statuses[0] if statuses else None


@pytest.mark.parametrize("services", ["bare"], indirect=True)
def test_a_connection_that_sends_too_much_or_lies_is_refused_in_time_and_costs_no_memory(services: ServicePair) -> None:
    memory, sockets = Memory(services.flooded), open_sockets(services.flooded)
    senders = [(name, Sender(services.flooded, *HOSTILE[name][1:])) for name in HOSTILE for _ in range(OF_EACH)]
    deadline = time.monotonic() + 30
    while any(sender.duration is None for _, sender in senders) and time.monotonic() < deadline:
        for _, sender in senders:
            if sender.duration is None:
                sender.step()
        time.sleep(0.01)
    still_open = [name for name, sender in senders if sender.duration is None]
    statuses = {(name, sender.status()) for name, sender in senders}
    longest = max(sender.duration or 0 for _, sender in senders)
    note(
        "hostile connections", f"{len(senders)} of {len(HOSTILE)} kinds; {longest:.1f} s at most; {memory.rise} MB more"
    )
    assert not still_open
    assert statuses == {(name, status) for name, (status, *_) in HOSTILE.items()}
    until(lambda: open_sockets(services.flooded) <= sockets)
    assert memory.rise <= MOST_RISE
    assert_nothing_unexpected(services.flooded)
