"""Floods of connections, and connections that send too much, against the service as a process of its own.

An honest visitor comes at a steady pace all the while, each time by a new connection: to the service that is flooded,
and at the same moment to a twin of it that is left alone. How long the twin takes is how long it takes without a flood,
on a machine as busy as this one is just then. The figures are printed at the end of the run.
"""

import asyncio
import contextlib
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

from tests.faults.doses import LONG, dose, note
from tests.running import Process, process, until, values

pytestmark = pytest.mark.timeout(1200 if LONG else 300)

MOST_RISE = 20.0
"""MB of memory."""
LONGEST = 10.0
"""Seconds that a connection may stay open."""
MOST_TIMES = 3.0
"""How many times as long an honest request may take."""
ROUNDS = 3
"""One that is well proves it: what else runs on the machine strikes the two at different moments."""
A_BLINK = 0.01  # seconds: what takes less than three times this is no slower for anybody
PACE = 50  # honest requests a second
PER_SECOND = 1000  # connections of a flood; few enough to have a core left for those who are measured
FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
ASKED_FOR = dose(2_000, 10_000)
COUNT = min(ASKED_FOR, FILES - 500)
LIMITED = "" if COUNT == ASKED_FOR else f"; the limit of open files allows {COUNT} connections, not {ASKED_FOR}"
KINDS = ["idle", "header-drip", "body-drip", "chunk-drip"]


class World(NamedTuple):
    """The service that is flooded, and its twin."""

    flooded: Process
    twin: Process


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    one, other = (tmp_path_factory.mktemp(name) for name in ("flooded", "twin"))
    with process(one, values(one)) as flooded, process(other, values(other)) as twin:
        world = World(flooded, twin)
        asyncio.run(honest_times(world, asyncio.sleep(2)))  # all is imported and warm afterwards
        yield world


def port(service: Process) -> int:
    return int(service.url.rpartition(":")[2])


async def ask(service: Process, moment: float) -> float:
    """Ask for what the widget asks for first. Gives the seconds from its moment to the answer; infinite without one."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port(service))
        writer.write(b"GET /v1/sites/shop HTTP/1.1\r\nHost: service\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    except ConnectionError:
        return math.inf
    return time.monotonic() - moment if answer.startswith(b"HTTP/1.1 200 ") else math.inf


async def honest_times(world: World, meanwhile: Any) -> tuple[Any, list[float], list[float]]:
    """Ask both services at a steady pace, whatever became of the requests before, while something goes on.

    Gives what came of it, and the seconds that the flooded one and its twin took.
    """
    going_on = asyncio.ensure_future(meanwhile)
    asked: list[tuple[asyncio.Task[float], asyncio.Task[float]]] = []
    began = time.monotonic()
    while not going_on.done():
        moment = began + len(asked) / PACE
        await asyncio.sleep(max(0.0, moment - time.monotonic()))
        first, second = world if len(asked) % 2 else (world.twin, world.flooded)
        pair = asyncio.create_task(ask(first, moment)), asyncio.create_task(ask(second, moment))
        asked.append(pair if first is world.flooded else (pair[1], pair[0]))
    flooded = [await task for task, _ in asked]
    twin = [await task for _, task in asked]
    return await going_on, flooded, twin


async def flood(service: Process, kinds: str, count: int, per_second: float) -> dict[str, float]:
    """Let loose a flood; see flooder.py."""
    command = [sys.executable, "-m", "tests.abuse.flooder", str(port(service)), kinds, str(count), str(per_second)]
    root = Path(__file__).parent.parent.parent
    flooder = await asyncio.create_subprocess_exec(*command, cwd=root, stdout=asyncio.subprocess.PIPE)
    output, _ = await flooder.communicate()
    told: dict[str, float] = json.loads(output)
    return told


def p99(times: list[float]) -> float:
    return sorted(times)[len(times) * 99 // 100]


class Memory:
    """How much the memory of a process has risen at its highest since this was made, in MB."""

    def __init__(self, service: Process) -> None:
        self._folder = Path(f"/proc/{service.process.pid}")
        (self._folder / "clear_refs").write_text("5")  # proc(5): forget the highest so far
        self._before = self._read("VmRSS")

    @property
    def rise(self) -> float:
        return round(self._read("VmHWM") - self._before, 1)

    def _read(self, name: str) -> float:
        found = re.search(rf"^{name}:\s+(\d+) kB$", (self._folder / "status").read_text(), re.MULTILINE)
        assert found
        return int(found[1]) / 1024


def assert_nothing_unexpected(service: Process) -> None:
    """All that was sent was foreseen: no error of ours was logged."""
    output = service.output()
    assert "Traceback" not in output
    assert '"level": "ERROR"' not in output


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a flood came to."""

    told: dict[str, float]
    flooded: list[float]
    twin: list[float]

    @property
    def times_longer(self) -> float:
        return p99(self.flooded) / max(p99(self.twin), A_BLINK)

    @property
    def all_closed_in_time(self) -> bool:
        # A machine too busy to answer the twin in time can't close a connection in time either.
        return self.told["still open"] == 0 and self.told["longest"] - max(self.twin) <= LONGEST

    @property
    def nobody_lost(self) -> bool:
        return math.inf not in self.flooded

    def __str__(self) -> str:
        longer, without = p99(self.flooded) * 1000, p99(self.twin) * 1000
        return f"{self.told}; p99 {longer:.1f} ms, without {without:.1f} ms, of {len(self.twin)} honest requests"


async def outcome(world: World, kinds: str, count: int, per_second: float) -> Outcome:
    return Outcome(*await honest_times(world, flood(world.flooded, kinds, count, per_second)))


def open_files(service: Process) -> int:
    return len(list(Path(f"/proc/{service.process.pid}/fd").iterdir()))


@pytest.mark.parametrize("kinds", [*dose([], KINDS), ",".join(KINDS)])
async def test_honest_visitors_hardly_notice_a_flood_of_connections(world: World, kinds: str) -> None:
    memory, files = Memory(world.flooded), open_files(world.flooded)
    for _ in range(ROUNDS):
        came = await outcome(world, kinds, COUNT, PER_SECOND)
        note(f"flood of {kinds}", f"{came}; {memory.rise} MB more{LIMITED}")
        if came.all_closed_in_time and came.nobody_lost and came.times_longer <= MOST_TIMES:
            break
    assert came.told["opened"] == COUNT
    assert came.all_closed_in_time
    assert came.nobody_lost
    assert came.times_longer <= MOST_TIMES
    assert memory.rise <= MOST_RISE
    until(lambda: open_files(world.flooded) <= files)
    assert_nothing_unexpected(world.flooded)


async def test_connections_that_are_kept_after_an_answer_are_closed_and_cost_little_memory(world: World) -> None:
    memory, files = Memory(world.flooded), open_files(world.flooded)
    for _ in range(ROUNDS):
        came = await outcome(world, "keep-alive", COUNT // 4, PER_SECOND / 5)
        note("flood of kept connections", f"{came}; {memory.rise} MB more")
        if came.all_closed_in_time:
            break
    assert came.all_closed_in_time
    assert memory.rise <= MOST_RISE
    until(lambda: open_files(world.flooded) <= files)
    assert_nothing_unexpected(world.flooded)


POST = b"POST /v1/callbacks HTTP/1.1\r\nHost: service\r\nOrigin: https://shop.example\r\n"
HEAD = POST + b"Content-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
GET = b"GET /v1/sites/shop HTTP/1.1\r\nHost: service\r\n"
ZEROS, LETTERS, LINES = bytes(65536), b"x" * 65536, b"X-A: b\r\n" * 8192
MEGABYTE = 16  # of these

HOSTILE: dict[str, tuple[int | None, bytes, bytes, int]] = {
    # the answer, what begins, and what follows how many times
    "a header of 20 MB": (431, GET + b"X-Long: ", LETTERS, 20 * MEGABYTE),
    "20 MB of headers": (431, GET, LINES, 20 * MEGABYTE),
    "a path of 20 MB": (431, b"GET /", LETTERS, 20 * MEGABYTE),
    "a body of 300 MB": (413, HEAD + b"Content-Length: 314572800\r\n\r\n", ZEROS, 300 * MEGABYTE),
    "300 MB in chunks": (413, CHUNKED, b"10000\r\n" + ZEROS + b"\r\n", 300 * MEGABYTE),
    "300 MB in one chunk": (413, CHUNKED + b"12c00000\r\n", ZEROS, 300 * MEGABYTE),
    "20 MB of trailers": (431, CHUNKED + b"0\r\n", LINES, 20 * MEGABYTE),
    "20 MB of trailers behind a body": (431, CHUNKED + b"2\r\n{}\r\n0\r\n", LINES, 20 * MEGABYTE),
    "an extension of 20 MB": (413, CHUNKED + b"1;", LETTERS, 20 * MEGABYTE),
    "a chunk's size that is none": (400, CHUNKED + b"size\r\n", ZEROS, 1),
    "a negative chunk": (400, CHUNKED + b"-1\r\n", ZEROS, 1),
    "a chunk beyond 64 bits": (400, CHUNKED + b"fffffffffffffffff\r\n", ZEROS, 1),
    "a chunk longer than it says": (400, CHUNKED + b"2\r\n{}}}\r\n", b"", 0),
    "a chunk shorter than it says": (408, CHUNKED + b"5\r\n{}\r\n", b"", 0),
    "a negative length": (400, HEAD + b"Content-Length: -1\r\n\r\n", b"{}", 1),
    "a length that is none": (400, HEAD + b"Content-Length: two\r\n\r\n", b"{}", 1),
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
    "an answer that nobody takes": (200, GET + b"\r\n", b"", 0),
}
OF_EACH = 10


class Sender:
    """A connection that sends as much as is taken, and reads nothing before the far side has ended it."""

    def __init__(self, service: Process, begins: bytes, follows: bytes, times: int) -> None:
        self._parts = iter([begins, *[follows] * times])
        self._left = b""
        self._socket = socket.create_connection(("127.0.0.1", port(service)), timeout=20)
        self._socket.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLRDHUP)
        self._began = time.monotonic()
        self.taken: float | None = None
        """Seconds from its beginning to its end; None until then."""

    def go_on(self) -> None:
        """Send what is taken now, and notice the end."""
        if self._poll.poll(0):
            self.taken = time.monotonic() - self._began
            return
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while self._left or (part := next(self._parts, b"")):
                self._left = self._left or part
                self._left = self._left[self._socket.send(self._left) :]

    def status(self) -> int | None:
        """Read what was answered, and close."""
        answer = b""
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while part := self._socket.recv(65536):
                answer += part
        self._socket.close()
        statuses = [int(status) for status in re.findall(rb"^HTTP/1\.1 (\d+) ", answer, re.MULTILINE)]
        assert len(statuses) <= 1, answer
        return statuses[0] if statuses else None


def test_a_connection_that_sends_too_much_or_lies_is_refused_in_time_and_costs_no_memory(world: World) -> None:
    memory, files = Memory(world.flooded), open_files(world.flooded)
    senders = [(name, Sender(world.flooded, *HOSTILE[name][1:])) for name in HOSTILE for _ in range(OF_EACH)]
    deadline = time.monotonic() + 30
    while any(sender.taken is None for _, sender in senders) and time.monotonic() < deadline:
        for _, sender in senders:
            if sender.taken is None:
                sender.go_on()
        time.sleep(0.01)
    still_open = [name for name, sender in senders if sender.taken is None]
    answered = {(name, sender.status()) for name, sender in senders}
    longest = max(sender.taken or 0 for _, sender in senders)
    note(
        "hostile connections", f"{len(senders)} of {len(HOSTILE)} kinds; {longest:.1f} s at most; {memory.rise} MB more"
    )
    assert not still_open
    assert answered == {(name, status) for name, (status, *_) in HOSTILE.items()}
    until(lambda: open_files(world.flooded) <= files)
    assert memory.rise <= MOST_RISE
    assert_nothing_unexpected(world.flooded)
