"""The conductor: from a validated body and its sender to the stored callback, with its log, warnings and wake-ups."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, select

from app.admission.admission_config import admission_config
from app.admission.conductor import Admission
from app.edge.challenge_difficulty import AdaptiveDifficulty
from app.edge.proof_of_work import Challenges
from app.errors import ForbiddenError, ServiceError, UnprocessableContentError
from app.intake.build_callback import Sender
from app.intake.callback_request import CallbackRequest
from app.logs import mask_phone
from app.metrics import Metrics
from app.net.origins import Origins
from app.outbox.callback import AcceptResult, RequestKey, Status
from app.outbox.schema import callbacks
from tests.admission.deciding import DAY, HOUR, KEY, MINUTE, NOW
from tests.log_records import events
from tests.outbox.factories import InspectableOutbox, hold, store_sent, update_columns
from tests.outbox.factories import callback as made
from tests.running import Clock, settings

VISITOR = Sender("203.0.113.7", ["203.0.113.7"], "https://shop.example", None, None)
CRM = Sender("203.0.113.9", ["203.0.113.9"], None, None, "crm")
PHONE = "79161234567"


class Here:
    """A conductor on an outbox, with a clock that the test advances."""

    def __init__(self, folder: Path, outbox: InspectableOutbox, **overrides: Any) -> None:
        self.clock = Clock(NOW)
        self.outbox = outbox
        chosen = settings(folder, **overrides)
        secret = b"a secret key of the tests, 32 characters or more"
        self.admission = Admission(
            outbox,
            chosen,
            admission_config(chosen),
            challenges=Challenges(secret, self.clock),
            difficulty=AdaptiveDifficulty(),
            origins={name: Origins(site.origins) for name, site in chosen.sites.items()},
            metrics=Metrics(chosen.sites),
            clock=self.clock,
        )

    async def ask(
        self, number: int | str = PHONE, key: RequestKey | None = None, sender: Sender = VISITOR, **fields: Any
    ) -> AcceptResult:
        phone = number if isinstance(number, str) else f"7916{number:07}"
        body = CallbackRequest.model_validate({"site": "shop", "client_phone": phone} | fields)
        return await self.admission.admit(body, sender, key, ())

    def row(self, callback_id: str, *names: str) -> tuple[Any, ...]:
        columns = [callbacks.c[name] for name in names]
        with self.outbox.database.reading.begin() as connection:
            return tuple(connection.execute(select(*columns).where(callbacks.c.id == callback_id)).one())


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[InspectableOutbox]:
    opened = InspectableOutbox.open(f"sqlite:///{tmp_path}/callbacks.db")
    yield opened
    opened.close()


@pytest.fixture
def make(tmp_path: Path, outbox: InspectableOutbox) -> Callable[..., Here]:
    return lambda **overrides: Here(tmp_path, outbox, **overrides)


def budget(caplog: pytest.LogCaptureFixture) -> list[int]:
    """Return the percentages that were warned of."""
    return [one["percent"] for one in events(caplog.records, "quota.site_budget")]


async def test_a_warning_is_logged_once_at_80_and_once_at_100_percent_of_a_sites_budget(
    make: Callable[..., Here], caplog: pytest.LogCaptureFixture
) -> None:
    here, logged = make(quotas={"per_site": "10/day"}), []
    for number in range(12):
        caplog.clear()
        await here.ask(number, sender=Sender(f"203.0.{number}.7", [f"203.0.{number}.7"], None, None, None))
        logged.append(budget(caplog))
    assert logged == [[]] * 7 + [[80]] + [[], [100], [], []], "the last two are held"


async def test_a_site_that_stays_near_its_limit_is_logged_once_per_window(
    make: Callable[..., Here], caplog: pytest.LogCaptureFixture
) -> None:
    here = make(quotas={"per_site": "10/hour"})
    for number in range(40):  # eight or nine in any hour, so it reaches 80 % again and again
        await here.ask(number, sender=CRM)
        here.clock.advance(minutes=7)
    assert budget(caplog) == [80] * 4, "in 273 minutes, from the eighth on"


async def test_a_budget_warning_is_logged_only_after_the_commit(
    make: Callable[..., Here], caplog: pytest.LogCaptureFixture
) -> None:
    here = make(quotas={"per_site": "1/day"})

    def fail(_connection: Connection) -> None:
        raise RuntimeError("the disk is gone")

    event.listen(here.outbox.database.writing, "commit", fail)
    with pytest.raises(RuntimeError):
        await here.ask()
    event.remove(here.outbox.database.writing, "commit", fail)
    assert budget(caplog) == []
    await here.ask()
    assert budget(caplog) == [80, 100]


async def test_requests_share_a_batch(make: Callable[..., Here]) -> None:
    here = make()
    transactions: list[Connection] = []
    event.listen(here.outbox.database.writing, "begin", transactions.append)
    await asyncio.gather(*(here.ask(number) for number in range(50)))
    assert len(transactions) < 10
    assert await here.outbox.waiting() == 20, "and 30 are held as a burst"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ("queued", None)),
        ({"website": "https://spam.example"}, ("held", "honeypot")),
        ({"number": "79160000666"}, ("held", "blocked_phone")),
    ],
)
async def test_a_visitor_is_answered_the_same_for_what_is_held(
    make: Callable[..., Here], fields: dict[str, Any], expected: tuple[str, str | None]
) -> None:
    here = make()
    await here.outbox.block("79160000666", None, NOW)
    answer = await here.ask(**fields)
    assert (answer.status, answer.created_at, answer.call_expected_at, answer.duplicate) == ("queued", NOW, NOW, False)
    assert here.row(answer.id, "status", "held_for") == expected


async def test_with_an_api_key_a_blocked_phone_is_refused(make: Callable[..., Here]) -> None:
    here = make()
    await here.outbox.block(PHONE, None, NOW)
    with pytest.raises(ForbiddenError):
        await here.ask(sender=CRM)


async def test_a_blocked_address_is_refused(make: Callable[..., Here]) -> None:
    here = make()
    await here.outbox.block("203.0.113.0/24", None, NOW)
    with pytest.raises(ForbiddenError):
        await here.ask()
    assert (await here.ask(sender=Sender("198.51.100.1", ["198.51.100.1"], None, None, None))).status == "queued"


async def test_a_request_that_is_no_longer_valid_is_replayed(make: Callable[..., Here]) -> None:
    here = make()
    planned = (NOW + HOUR).isoformat()
    first = await here.ask(key=KEY, planned_time=planned)
    here.clock.advance(hours=2)
    again = await here.ask(key=KEY, planned_time=planned)
    assert (again.id, again.replayed, again.call_expected_at) == (first.id, True, NOW + HOUR)
    with pytest.raises(UnprocessableContentError):
        await here.ask(planned_time=planned)
    with pytest.raises(UnprocessableContentError):
        await here.ask(key=RequestKey("site:shop", "key-2", "a" * 64), planned_time=planned)


async def test_the_worker_is_woken_for_what_is_due(make: Callable[..., Here]) -> None:
    here = make()

    async def is_woken(answer: AcceptResult) -> bool:
        assert answer.status == "queued"
        woken = here.outbox.wait(5)
        async with asyncio.timeout(0.05):
            await woken
        return True

    first = await here.ask()
    assert await is_woken(first)
    for held_or_merged in (await here.ask(1, website="x"), await here.ask()):
        with pytest.raises(TimeoutError):
            await is_woken(held_or_merged)
    update_columns(here.outbox, first.id, due_at=NOW + 9 * MINUTE)
    assert await is_woken(await here.ask()), "it ends a retry's wait"


async def test_the_log_names_no_phone(make: Callable[..., Here], caplog: pytest.LogCaptureFixture) -> None:
    here = make()
    caplog.set_level("INFO")
    first = await here.ask()
    second = await here.ask()
    lines = events(caplog.records, "callback.accepted")
    assert [line["callback"] for line in lines] == [first.id, second.id]
    assert [line["duplicate_of"] for line in lines] == [None, first.id]
    assert [line["client_phone"] for line in lines] == [mask_phone(PHONE)] * 2
    assert PHONE not in str(lines)


async def test_a_promise_is_made_while_the_site_has_room(make: Callable[..., Here]) -> None:
    here = make(quotas={"per_site": "2/hour"})
    assert await here.admission.promise("shop", NOW) == NOW
    await here.ask(1, sender=CRM)
    later = NOW + timedelta(seconds=3)  # one look at the budget does for two seconds
    assert await here.admission.promise("shop", later) == later
    await here.ask(2, sender=CRM)
    assert await here.admission.promise("shop", later) == later
    assert await here.admission.promise("shop", later + timedelta(seconds=2)) is None
    assert await here.admission.promise("shop", NOW + HOUR) == NOW + HOUR


async def test_no_promise_is_made_where_the_hours_are_unknown(make: Callable[..., Here]) -> None:
    here = make(sites={"shop": {"working_hours": None}})
    assert await here.admission.promise("shop", NOW) is None


async def test_a_closed_site_promises_its_start_hour(make: Callable[..., Here]) -> None:
    evening = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
    hours = {"working_hours": "mon-sun 09:00-18:00", "timezone": "UTC", "nwt_action": "always_call"}
    here = make(sites={"shop": hours | {"call_stack_start_hour": 10}})
    here.clock.now = evening
    morning = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
    assert await here.admission.promise("shop", evening) == morning
    assert (await here.ask()).call_expected_at == morning


async def test_a_release_and_a_retry_wake_the_worker(make: Callable[..., Here]) -> None:
    here = make()
    held = await hold(here.outbox, created_at=NOW - DAY)
    failed = await store_sent(
        here.outbox, made(client_phone="79160000002", created_at=NOW - DAY), Status.FAILED, "refused"
    )
    await here.admission.requeue("release", held, "operator")
    await here.admission.requeue("retry", failed, "key:crm")
    async with asyncio.timeout(1):
        await here.outbox.wait(5)
    for one in (held, failed):
        assert here.row(one, "status", "due_at", "give_up_at")[:2] == ("queued", NOW)
    with pytest.raises(ServiceError):
        await here.admission.requeue("release", held, "operator")
