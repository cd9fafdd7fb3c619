"""Plays a history of requests, actions and clock steps on a real service, with a simulator as Chaser.

The service is `create_app` with a real database and its own worker. It shares the event loop with the test, and the
simulator answers in the same process. The worker works only in `Played.sweep`, so nothing depends on real time.
"""

import asyncio
import itertools
import logging
import random
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, event, select
from starlette.types import ASGIApp

from app.chaser import ChaserClient
from app.main import create_app
from app.outbox.database import Database, open_database
from app.outbox.schema import callbacks, metadata
from app.settings import Settings
from tests.admission.in_process import PROXY, InProcessChaser, SteppedOutbox, lifespan, send
from tests.admission.shops import SHOP, SHOPS
from tests.running import AUTHORIZED, ORIGIN, values

T = TypeVar("T")
START = datetime(2026, 3, 5, 7, 30, tzinfo=UTC)
"""A Thursday, 10:30 in Moscow."""
BLOCKED_PHONE, BLOCKED_ADDRESS = "79169999999", "198.51.100.66"
LONG_TIME = 30.0
"""Seconds of real time after which a sweep has failed."""
_KEPT = ("blocklist", "alembic_version")
_END = datetime(9990, 1, 1, tzinfo=UTC)


def quotas(**limits: str) -> dict[str, Any]:
    """Return wide quotas, except `limits`."""
    return {
        "per_phone": "1000/hour",
        "per_address": "10000/hour",
        "per_address_phones": "10000/hour",
        "per_site": "100000/day",
        "held_per_site": "10000/day",
    } | limits


def history_settings(folder: Path, **overrides: Any) -> Settings:
    """Return the settings of the service with all sites of `shops`, and quotas that a test may narrow."""
    given = values(
        folder,
        "http://chaser.example/v1/",
        sites={"shop": None} | {shop.name: shop.settings(ORIGIN) for shop in SHOPS},
        trusted_proxies=[PROXY],
        calls_per_second=1000,
        calls_at_once=200,
        duplicate_window="60s",
    )
    given["quotas"] = quotas(**overrides.pop("quotas", {}))
    given["sites"] = {name: site | overrides.get("sites", {}).get(name, {}) for name, site in given["sites"].items()}
    return Settings.model_validate(given | {name: value for name, value in overrides.items() if name != "sites"})


@dataclass(frozen=True)
class Ask:
    """A request. `again` and `plan` are chosen by number, as the ids and the open times are not known before.

    `address` None: sent with the API key. `plan`: the number of an open half hour, or with `plan_seconds` that many
    seconds from now. `again`: the id of the n-th request of the history, or UNKNOWN.
    """

    shop: str
    phone: str
    address: str | None
    department: str | None = None
    plan: int | None = None
    plan_seconds: int | None = None
    again: int | None = None
    request_id: str | None = None
    honeypot: bool = False
    extra: tuple[tuple[str, Any], ...] = ()
    origin: str = ORIGIN


@dataclass(frozen=True)
class Crowd:
    """Requests that are sent at the same time, so that one transaction may decide several."""

    asks: tuple[Ask, ...]


UNKNOWN = 10_000
"""The number of a request that was never made."""


@dataclass(frozen=True)
class Same:
    """The wish of the n-th request once more, by a visitor from an address; with `again` the first did not ring."""

    number: int
    address: str
    again: bool = False


@dataclass(frozen=True)
class Repeat:
    """The n-th request once more, word for word; nothing if it has no request id."""

    number: int


@dataclass(frozen=True)
class Act:
    """An operator's action on the callback of the n-th request; a release on the n-th that filled in the honeypot."""

    action: str
    number: int


@dataclass(frozen=True)
class Step:
    """The clock goes on; with `wrong` only the clock of the service, ahead of the true time or back to it."""

    seconds: float
    wrong: bool = False


@dataclass(frozen=True)
class Faulty:
    """The next calls meet a fault at Chaser: lost, lost_before, refused, unavailable or rejected."""

    kind: str
    times: int = 1


@dataclass(frozen=True)
class Look:
    """The public status of the n-th request is read."""

    number: int


Event = Ask | Crowd | Same | Repeat | Act | Step | Faulty | Look


@dataclass
class Answer:
    """The answer to one request. `number`: of the request; `sent`: the body that was sent."""

    number: int
    ask: Ask
    at: datetime
    status: int
    body: dict[str, Any]
    retry_after: str | None
    replayed: bool
    sent: dict[str, Any] = field(repr=False)
    released_at: datetime | None = None

    @property
    def accepted(self) -> bool:
        return self.status == 202

    @property
    def id(self) -> str:
        return str(self.body.get("id"))

    @property
    def told(self) -> tuple[Any, ...]:
        """All that the sender is told, without ids and times of acceptance."""
        told = self.body if self.accepted else {"code": self.body.get("code")}
        shown = sorted((name, str(value)) for name, value in told.items() if name not in ("id", "created_at"))
        return (self.status, self.retry_after, *shown)


class Played:
    """A running service, and the history that is played on it."""

    app: ASGIApp

    def __init__(self, outbox: SteppedOutbox, database: Database, chaser: InProcessChaser) -> None:
        self.outbox = outbox
        self.database = database
        self.chaser = chaser
        self.ahead = timedelta(0)
        self.answers: list[Answer] = []
        self.noise: list[Answer] = []
        self.errors: list[Any] = []
        """What the service logged as errors."""
        self.statements: list[str] = []
        self.jitter = random.Random()
        self.of_request = 0
        """Statements of the last request, without those of its call."""
        for engine in (database.writing, database.reading):
            event.listen(engine, "before_cursor_execute", self._count)
        chaser.asleep = outbox.changed.set

    def clock(self) -> datetime:
        """Return the time that the service believes."""
        return self.chaser.now + self.ahead

    async def reset(self, now: datetime = START, latency: timedelta = timedelta(0)) -> None:
        """Forget everything that was played, and begin anew at a time."""
        self.chaser.faults.clear()
        self.chaser.latency = timedelta(0)
        self.chaser.set_clock(_END)
        await self._settle()
        with self.database.writing.begin() as connection:
            for table in reversed(metadata.sorted_tables):
                if table.name not in _KEPT:
                    connection.execute(table.delete())
        self.chaser.simulator.clear_ledger()
        self.chaser.latency, self.ahead = latency, timedelta(0)
        self.answers, self.noise = [], []
        self.jitter.seed(0)
        self.chaser.set_clock(now)

    async def play(self, history: Sequence[Event]) -> None:
        """Play the events in order; what a request leads to is at Chaser before the next event."""
        for one in history:
            await self.do(one)

    async def do(self, one: Event) -> Any:
        """Play one event. Returns the answer of a request, the status of an action, the response of a look."""
        match one:
            case Ask():
                return await self.ask(one)
            case Crowd(asks):
                return await self._ask_together(asks)
            case Same(number, address, again):
                if self.answers:
                    return await self._ask_same(self.chosen(number), address, again=again)
            case Repeat(number):
                if self.answers and "request_id" in (before := self.chosen(number)).sent:
                    return await self._send(before.ask, before.sent)
            case Act(action, number):
                if self.answers:
                    held = [one for one in self.answers if one.ask.honeypot and action == "release"] or self.answers
                    return await self.act(action, held[number % len(held)])
            case Look(number):
                if self.answers:
                    return await self.public(self.chosen(number).id)
            case Faulty(kind, times):
                self.chaser.faults.extend([kind] * times)
            case Step(seconds, wrong):
                if wrong:
                    self.ahead = max(timedelta(0), self.ahead + timedelta(seconds=seconds))
                    await self.tidy()
                else:
                    await self.step(timedelta(seconds=seconds))
        return None

    async def ask(self, ask: Ask, page: str | None = None, **fields: Any) -> Answer:
        """Send a request and have its call made."""
        return await self._send(ask, self._body(ask, page or str(len(self.answers)), fields))

    def _body(self, ask: Ask, page: str, fields: dict[str, Any]) -> dict[str, Any]:
        body: dict[str, Any] = {"site": ask.shop, "client_phone": ask.phone, **dict(ask.extra), **fields}
        body["active_page"] = f"{ORIGIN}/{page}"
        for name in ("department", "request_id"):
            if getattr(ask, name) is not None:
                body[name] = getattr(ask, name)
        if ask.honeypot:
            body["website"] = "https://spam.example"
        if ask.plan_seconds is not None:
            body["planned_time"] = int(self.clock().timestamp()) + ask.plan_seconds
        elif ask.plan is not None:
            times = SHOP[ask.shop].open_times(self.clock())
            body["planned_time"] = int(next(itertools.islice(times, ask.plan, None)).timestamp())
        if ask.again is not None:
            body["again"] = self._again(ask.again)
        return body

    async def _ask_together(self, asks: Sequence[Ask]) -> list[Answer]:
        first = len(self.answers)
        bodies = [self._body(ask, str(first + number), {}) for number, ask in enumerate(asks)]
        answers = await asyncio.gather(*map(self._post, asks, bodies))
        for answer in answers:
            self._record(answer)
        await self.sweep()
        return answers

    async def _ask_same(self, before: Answer, address: str, *, again: bool) -> Answer:
        ask = replace(before.ask, address=address, plan=None, plan_seconds=None, request_id=None, honeypot=False)
        ask = replace(ask, extra=(), again=before.number if again else None)
        planned = {} if again or "planned_time" not in before.sent else {"planned_time": before.sent["planned_time"]}
        return await self.ask(ask, **planned)

    async def intrude(self, ask: Ask) -> Answer:
        """Send a request that is none of the history: its events don't refer to it."""
        answer = await self.ask(ask, f"noise-{len(self.noise)}")
        self.answers.pop()
        self.noise.append(answer)
        return answer

    def _again(self, number: int) -> str:
        if number != UNKNOWN and self.answers and self.chosen(number).accepted:
            return self.chosen(number).id
        return "0190b0b9-76c0-7f3e-9d51-3c1c8a1f5b02"

    def chosen(self, number: int) -> Answer:
        """Return the answer to the n-th request; the numbers begin anew after the last."""
        return self.answers[number % len(self.answers)]

    async def _send(self, ask: Ask, body: dict[str, Any]) -> Answer:
        self.statements.clear()
        answer = await self._post(ask, body)
        self.of_request = len(self.statements)
        self._record(answer)
        await self.sweep()
        return answer

    def _record(self, answer: Answer) -> None:
        assert answer.status < 500, f"{answer}: {self.errors}"
        answer.number = len(self.answers)
        self.answers.append(answer)

    async def _post(self, ask: Ask, body: dict[str, Any]) -> Answer:
        headers = {"x-forwarded-for": ask.address or "192.0.2.200", "origin": ask.origin}
        if ask.address is None:
            headers |= AUTHORIZED
        at = self.clock()
        status, shown, fields = await send(self.app, "POST", "/v1/callbacks", body, headers)
        return Answer(-1, ask, at, status, fields, shown.get("retry-after"), "idempotency-replayed" in shown, body)

    async def act(self, action: str, answer: Answer) -> int:
        """Release, retry or cancel a callback as an operator, and have its call made. Returns the HTTP status."""
        status, _, _ = await send(self.app, "POST", f"/v1/callbacks/{answer.id}/{action}", None, AUTHORIZED)
        if action == "release" and status == 200:
            answer.released_at = self.clock()
        await self.sweep()
        return status

    async def public(self, callback_id: str) -> tuple[int, str | None, str | None]:
        """Return what a visitor is told of a callback: HTTP status, its status, and when the call is expected."""
        address = {"x-forwarded-for": "192.0.2.201"}
        status, _, body = await send(self.app, "GET", f"/v1/callbacks/{callback_id}", None, address)
        return status, body.get("status"), body.get("call_expected_at")

    async def details(self, callback_id: str) -> dict[str, Any]:
        """Return all that an API key is shown of a callback."""
        status, _, body = await send(self.app, "GET", f"/v1/callbacks/{callback_id}", None, AUTHORIZED)
        assert status == 200, body
        return body

    async def stored(self) -> list[dict[str, Any]]:
        """Return all that an API key is shown of the stored callbacks, newest first."""
        _, _, body = await send(self.app, "GET", "/v1/callbacks", None, AUTHORIZED, b"limit=100")
        rows: list[dict[str, Any]] = body["callbacks"]
        return rows

    async def step(self, by: timedelta) -> None:
        """Advance both clocks. Every call that becomes due meanwhile is made at its moment."""
        target = self.chaser.now + by
        while (moment := self._next_moment(target)) is not None:
            self.chaser.set_clock(max(moment, self.chaser.now))
            await self.sweep()
        self.chaser.set_clock(target)
        await self.tidy()
        if by >= timedelta(days=1):
            await self.outbox.erase(self.clock(), timedelta(days=90))

    async def tidy(self) -> None:
        """Run the periodic work of the maintenance, and have the calls made that are due."""
        await self.outbox.expire(self.clock())
        await self.sweep()

    def _next_moment(self, target: datetime) -> datetime | None:
        """Return the next moment up to `target` at which a call is due or an answer arrives."""
        with self.database.reading.begin() as connection:
            times = connection.execute(_DUE).scalars().all()
        moments = [due - self.ahead for due in times if due > self.clock()]
        moments += [wakes for wakes, _ in self.chaser.sleeping]
        return min((moment for moment in moments if moment <= target), default=None)

    async def sweep(self) -> None:
        """Have the worker claim all that is due, and wait until nothing moves but the answers of Chaser."""
        claimed = -1
        while claimed != self.outbox.claimed and self._is_due():
            claimed = self.outbox.claimed
            self.outbox.idle.clear()
            self.outbox.go.set()
            await self._settle()
        await self._settle()

    def _is_due(self) -> bool:
        """Return whether the worker would claim anything. Times far ahead are from before the clock was set back."""
        with self.database.reading.begin() as connection:
            times = connection.execute(_DUE).scalars().all()
        now = self.clock()
        return any(not now < due <= now + timedelta(minutes=10) for due in times)

    async def _settle(self) -> None:
        outbox = self.outbox
        async with asyncio.timeout(LONG_TIME):
            while not outbox.idle.is_set() or outbox.claimed != outbox.finished + len(self.chaser.sleeping):
                outbox.changed.clear()
                if not outbox.idle.is_set() or outbox.claimed != outbox.finished + len(self.chaser.sleeping):
                    await outbox.changed.wait()

    def _count(self, _connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        self.statements.append(statement)


_DUE = select(callbacks.c.due_at).where(callbacks.c.due_at.is_not(None))


class _Errors(logging.Handler):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.records: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(vars(record))


@contextmanager
def playing(url: str, settings: Settings) -> Iterator["Runner"]:
    """Run the service on a migrated database until the end of the block."""
    with asyncio.Runner() as loop, pytest.MonkeyPatch.context() as monkeypatch:
        logging.disable(logging.INFO)  # thousands of lines, which pytest would keep
        errors = _Errors(logging.ERROR)
        logging.getLogger("app").addHandler(errors)
        database = open_database(url)
        if database.is_exclusive:  # each commit would wait for the disk, and no crash is tested here
            event.listen(database.writing, "connect", lambda one, _: one.execute("PRAGMA synchronous = OFF"))
        outbox, chaser = SteppedOutbox(database), InProcessChaser()
        chaser.set_clock(START)
        monkeypatch.setattr("app.main.ChaserClient", partial(ChaserClient, transport=chaser))
        service = Played(outbox, database, chaser)
        # The jitter of retries is the same in each run of a history, so that a failing one can be shrunk.
        monkeypatch.setattr("app.delivery.recorder.random", SimpleNamespace(Random=lambda: service.jitter))
        service.errors = errors.records
        service.app = create_app(settings, outbox=outbox, clock=service.clock, poll_interval=1e6)
        for entry in (BLOCKED_PHONE, f"{BLOCKED_ADDRESS}/32"):
            loop.run(outbox.block(entry, None, START))
        stop = loop.run(lifespan(service.app))
        try:
            yield Runner(loop, service)
        finally:
            chaser.set_clock(_END)
            outbox.release_worker()
            loop.run(stop())
            logging.disable(logging.NOTSET)
            logging.getLogger("app").removeHandler(errors)


@dataclass
class Runner:
    """Runs coroutines on the event loop of a service."""

    loop: asyncio.Runner
    service: Played

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run(work)
