"""The parts of a service in one process with its test: the outbox of a stepped worker, Chaser, and requests."""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import httpx2
from starlette.types import ASGIApp

from app.outbox.blocklist_store import Blocked
from app.outbox.claims import claim_due
from app.outbox.database import Database
from app.outbox.resends import finish
from app.simulator.fault_script import Fault
from app.simulator.records import Call
from app.simulator.simulator_app import create_simulator
from tests.admission.shops import chaser_options
from tests.outbox.factories import InspectableOutbox

PROXY = "127.0.0.2"
"""The trusted proxy from which all requests come."""


class SteppedOutbox(InspectableOutbox):
    """The outbox, whose worker looks for due callbacks only when told to."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.idle = asyncio.Event()
        self.go = asyncio.Event()
        self.changed = asyncio.Event()
        self.claimed = self.finished = 0
        self.released = False
        self.known: Blocked | None = None

    def notify(self) -> None:
        """Wake the worker only at the end: an accepted callback is claimed in the next sweep."""
        if self.released:
            self.go.set()

    def release_worker(self) -> None:
        """Let the worker go on by itself, so that it ends."""
        self.released = True
        self.go.set()

    async def wait(self, seconds: float) -> None:
        """Wait for the next sweep."""
        self.idle.set()
        self.changed.set()
        await self.go.wait()
        if not self.released:
            self.go.clear()
        await asyncio.sleep(0)

    async def blocked(self) -> Blocked:
        """Return the blocklist as it was at first: reading it again depends on real time."""
        if self.known is None:
            self.known = await super().blocked()
        return self.known

    async def write(self, work: Any, *, isolated: bool = False) -> Any:
        """Count the claims, and those that are finished."""
        result = await super().write(work, isolated=isolated)
        function = getattr(work, "func", None)
        if function is claim_due:
            self.claimed += len(result)
        elif function is finish and not isinstance(result, datetime):
            self.finished += 1
            self.changed.set()
        return result


class InProcessChaser(httpx2.AsyncBaseTransport):
    """The transport of the client of Chaser: a simulator in this process, faults, and a latency by the true clock."""

    def __init__(self) -> None:
        self.app = create_simulator(chaser_options())
        self.simulator = self.app.state.simulator
        self.latency = timedelta(0)
        self.faults: deque[str] = deque()
        self.sleeping: list[tuple[datetime, asyncio.Future[None]]] = []
        self.asleep: Callable[[], None] = lambda: None
        self._transport = httpx2.ASGITransport(self.app)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        fault = self.faults.popleft() if self.faults else None
        if fault == "refused":
            raise httpx2.ConnectError("refused")
        if fault == "lost_before":
            async for _ in request.stream:  # type: ignore[union-attr]
                pass
            raise httpx2.ReadError("reset")
        if fault in ("unavailable", "rejected"):
            status = 503 if fault == "unavailable" else 404
            self.simulator.faults.add(Fault("status", False, status=status, headers={"Retry-After": "9"}))
        response = await self._transport.handle_async_request(request)
        if self.latency:
            await self._sleep(self.now + self.latency)
        if fault == "lost":
            raise httpx2.ReadError("reset")
        return response

    @property
    def now(self) -> datetime:
        now: datetime = self.simulator.clock.now()
        return now

    def set_clock(self, now: datetime) -> None:
        """Set the true time, and wake the answers that are due."""
        self.simulator.clock.set(now, frozen=True)
        due = [one for one in self.sleeping if one[0] <= now]
        self.sleeping = [one for one in self.sleeping if one[0] > now]
        for _, woken in due:
            woken.set_result(None)

    async def _sleep(self, until: datetime) -> None:
        woken = asyncio.get_running_loop().create_future()
        self.sleeping.append((until, woken))
        self.asleep()
        await woken

    def calls(self) -> list[Call]:
        calls: list[Call] = self.simulator.ledger.calls()
        return calls


async def send(
    app: ASGIApp, method: str, path: str, body: dict[str, Any] | None, headers: dict[str, str], query: bytes = b""
) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Send a request and return the status, the headers and the JSON of the response."""
    content = b"" if body is None else json.dumps(body).encode()
    headers = {"host": "callback.example", "content-length": str(len(content))} | headers
    if body is not None:
        headers["content-type"] = "application/json"
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": (PROXY, 1),
        "server": ("callback.example", 80),
    }
    messages: list[Any] = []
    incoming = iter([{"type": "http.request", "body": content, "more_body": False}])

    async def receive() -> Any:
        message = next(incoming, None)
        if message is None:
            await asyncio.Event().wait()
        return message

    async def collect(message: Any) -> None:
        messages.append(message)

    await app(scope, receive, collect)
    shown = {name.decode().lower(): value.decode() for name, value in messages[0]["headers"]}
    text = b"".join(message.get("body", b"") for message in messages[1:])
    return messages[0]["status"], shown, json.loads(text) if text else {}


async def lifespan(app: ASGIApp) -> Callable[[], Awaitable[None]]:
    """Start the application and return the function that stops it."""
    incoming: asyncio.Queue[Any] = asyncio.Queue()
    outgoing: asyncio.Queue[Any] = asyncio.Queue()
    running = asyncio.create_task(
        app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, incoming.get, outgoing.put)
    )  # type: ignore[arg-type]

    async def exchange(phase: str) -> None:
        await incoming.put({"type": f"lifespan.{phase}"})
        message = await outgoing.get()
        assert message["type"] == f"lifespan.{phase}.complete", message

    async def stop() -> None:
        await exchange("shutdown")
        await running

    await exchange("startup")
    return stop
