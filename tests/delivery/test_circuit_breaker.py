"""What Chaser refuses is paused and asked about, on a clock that the test sets."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from app.chaser import ChaserClient
from app.delivery.circuit_breaker import CircuitBreakers
from app.simulator.options import Account, Options, Site
from tests.running import Chaser, Clock, chaser

FIRST, SECOND = "4711", "4712"
SHOP, OTHER, ELSEWHERE = (FIRST, "shop"), (FIRST, "other"), (SECOND, "elsewhere")
KEY = "a-private-key"


@pytest.fixture(scope="module")
def far_side_of_module() -> Iterator[Chaser]:
    options = Options((Account(FIRST, KEY, (Site("1", "shop"), Site("2", "other"))), Account(SECOND, KEY)))
    with chaser(options) as far_side:
        yield far_side


@pytest.fixture
def far_side(far_side_of_module: Chaser) -> Chaser:
    assert far_side_of_module.http.post("reset", json={}).is_success
    return far_side_of_module


@pytest.fixture
async def accounts(far_side: Chaser) -> AsyncIterator[CircuitBreakers]:
    opened = CircuitBreakers({name: ChaserClient(name, KEY, api_url=far_side.api_url) for name in (FIRST, SECOND)})
    yield opened
    await opened.aclose()


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not holds():
            await asyncio.sleep(0.01)


async def probed(accounts: CircuitBreakers, far_side: Chaser, clock: Clock) -> None:
    """Let the probe that is due be asked and answered."""
    before = len(asked(far_side))
    accounts.start_probes(clock())
    await eventually(lambda: len(asked(far_side)) > before and not accounts.probing)


def asked(far_side: Chaser) -> list[str]:
    return [request["path"] for request in far_side.requests(path="/v1/websites")]


async def test_a_refused_account_is_asked_about_at_once_and_then_once_a_minute_until_it_is_well(
    accounts: CircuitBreakers, far_side: Chaser, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    far_side.fault("status", status=401, times=None)
    accounts.on_unauthorized(FIRST, "one", clock())
    accounts.on_unauthorized(FIRST, "another", clock())
    assert accounts.paused == (FIRST,), "until it is known whether it is the account"
    await probed(accounts, far_side, clock)
    for _ in range(2):
        accounts.on_unauthorized(FIRST, "one that was under way", clock())
        accounts.start_probes(clock())
        assert not accounts.probing, "not a minute yet"
        clock.advance(seconds=60)
        await probed(accounts, far_side, clock)
        assert accounts.paused == (FIRST,)
        assert [accounts.is_paused(site) for site in (SHOP, OTHER, ELSEWHERE)] == [True, True, False]
    far_side.well_again()
    clock.advance(seconds=60)
    await probed(accounts, far_side, clock)
    assert accounts.paused == ()
    assert not accounts.is_paused(SHOP)
    told = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert told == ["delivery.account_paused", *["delivery.account_still_refused"] * 2], "paused once"


async def test_a_401_is_the_callbacks_own_when_chaser_takes_the_account(
    accounts: CircuitBreakers, far_side: Chaser, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for times in (1, 2):
        accounts.on_unauthorized(FIRST, "one", clock())
        assert [accounts.is_paused(site) for site in (SHOP, ELSEWHERE)] == [True, False]
        await probed(accounts, far_side, clock)
        assert accounts.paused == accounts.paused_sites == ()
        told = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert [(record.message, record.__dict__["callback"]) for record in told] == [
            ("delivery.signature_refused", "one")
        ] * times
        assert len(asked(far_side)) == times
    clock.advance(minutes=2)
    accounts.start_probes(clock())
    assert not accounts.probing


async def test_a_question_does_not_wait_for_a_clock_that_was_set_back(
    accounts: CircuitBreakers, far_side: Chaser, clock: Clock
) -> None:
    far_side.fault("status", status=401, times=1)
    accounts.on_unauthorized(FIRST, "one", clock())
    await probed(accounts, far_side, clock)
    clock.advance(seconds=30)
    accounts.start_probes(clock())
    assert not accounts.probing, "not a minute yet"
    clock.advance(hours=-1)
    await probed(accounts, far_side, clock)
    assert accounts.paused == ()


async def test_a_question_that_hangs_delays_no_other_and_is_not_repeated(
    accounts: CircuitBreakers, far_side: Chaser, clock: Clock
) -> None:
    far_side.fault("hang_before", times=1)
    accounts.on_unauthorized(FIRST, "one", clock())
    accounts.on_unauthorized(SECOND, "two", clock())
    accounts.start_probes(clock())
    await eventually(lambda: len(accounts.paused) == 1)
    for _ in range(3):
        clock.advance(seconds=60)
        accounts.start_probes(clock())
        assert len(accounts.probing) == 1
    (hanging,) = accounts.paused
    healthy = ({FIRST, SECOND} - {hanging}).pop()
    accounts.on_unauthorized(healthy, "three", clock())
    accounts.start_probes(clock())
    await eventually(lambda: accounts.paused == (hanging,))
    assert len(asked(far_side)) == 3


async def test_nobody_is_asked_about_an_account_that_the_settings_do_not_know(
    accounts: CircuitBreakers, far_side: Chaser, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        accounts.on_removed("4713", clock())
        accounts.start_probes(clock())
        clock.advance(minutes=2)
    assert accounts.paused == ("4713",)
    assert not accounts.probing
    assert [record.message for record in caplog.records] == ["delivery.account_paused"]


async def test_a_403_that_is_only_the_sites_pauses_the_site_alone(
    accounts: CircuitBreakers, far_side: Chaser, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    accounts.on_forbidden(SHOP, 1, clock())
    assert accounts.paused == (FIRST,), "until it is known whether it is the account"
    with caplog.at_level(logging.ERROR, "app"):
        await probed(accounts, far_side, clock)
    assert accounts.paused == ()
    assert accounts.paused_sites == (SHOP,)
    assert [accounts.is_paused(site) for site in (SHOP, OTHER, ELSEWHERE)] == [True, False, False]
    (told,) = caplog.records
    assert told.message == "delivery.site_paused"
    assert "Chaser refuses calls for site_id 1:" in told.__dict__["cure"]


async def test_a_paused_site_is_tried_once_a_minute_and_asks_nothing_more(
    accounts: CircuitBreakers, far_side: Chaser, clock: Clock
) -> None:
    accounts.on_forbidden(SHOP, 1, clock())
    await probed(accounts, far_side, clock)
    for _ in range(3):
        assert accounts.due_probes(clock()) == (), "not a minute yet"
        clock.advance(seconds=60)
        assert accounts.due_probes(clock()) == (SHOP,)
        accounts.mark_probed(SHOP, clock())
        accounts.on_forbidden(SHOP, 1, clock())
        assert accounts.paused == (), "the other sites go on"
    clock.advance(hours=-1)
    assert accounts.due_probes(clock()) == (SHOP,), "the clock was set back"
    accounts.on_success(SHOP)
    assert accounts.paused_sites == accounts.due_probes(clock()) == ()
    accounts.start_probes(clock())
    assert len(asked(far_side)) == 1


async def test_a_403_to_the_probe_as_well_is_the_accounts(
    accounts: CircuitBreakers, far_side: Chaser, clock: Clock
) -> None:
    far_side.fault("status", status=403, times=None)
    accounts.on_forbidden(SHOP, 1, clock())
    accounts.on_forbidden(OTHER, 2, clock())
    await probed(accounts, far_side, clock)
    assert accounts.paused == (FIRST,)
    far_side.well_again()
    clock.advance(seconds=60)
    await probed(accounts, far_side, clock)
    assert accounts.paused == accounts.paused_sites == (), "it was the account for all of them"


NO_PROOF = [{"kind": "status", "status": 500}, {"kind": "reset_before"}, {"kind": "refuse"}]


async def answered_without_proof(
    accounts: CircuitBreakers, far_side: Chaser, clock: Clock, fault: dict[str, object]
) -> None:
    far_side.fault(**fault, times=None if fault["kind"] == "refuse" else 1)
    accounts.start_probes(clock())
    await eventually(lambda: not accounts.probing)


@pytest.mark.parametrize("fault", NO_PROOF)
async def test_an_answer_that_proves_nothing_leaves_a_403_with_the_site(
    accounts: CircuitBreakers, far_side: Chaser, clock: Clock, fault: dict[str, object]
) -> None:
    accounts.on_forbidden(SHOP, 1, clock())
    await answered_without_proof(accounts, far_side, clock, fault)
    assert accounts.paused == ()
    assert accounts.paused_sites == (SHOP,)


@pytest.mark.parametrize("fault", NO_PROOF)
async def test_an_answer_that_proves_nothing_leaves_a_401_with_the_account(
    accounts: CircuitBreakers, far_side: Chaser, clock: Clock, fault: dict[str, object]
) -> None:
    accounts.on_forbidden(SHOP, 1, clock())
    accounts.on_unauthorized(FIRST, "one", clock())
    await answered_without_proof(accounts, far_side, clock, fault)
    assert accounts.paused == (FIRST,)
    far_side.well_again()
    clock.advance(seconds=60)
    accounts.start_probes(clock())
    await eventually(lambda: accounts.paused == ())
    assert accounts.paused_sites == (), "what else was refused is tried again, and then asked about"


async def test_a_401_and_a_403_are_told_apart_by_one_answer(
    accounts: CircuitBreakers, far_side: Chaser, clock: Clock
) -> None:
    accounts.on_forbidden(SHOP, 1, clock())
    accounts.on_unauthorized(FIRST, "one", clock())
    await probed(accounts, far_side, clock)
    assert accounts.paused == ()
    assert accounts.paused_sites == (SHOP,)


async def test_a_site_of_a_paused_account_is_not_tried(
    accounts: CircuitBreakers, far_side: Chaser, clock: Clock
) -> None:
    accounts.on_forbidden(SHOP, 1, clock())
    await probed(accounts, far_side, clock)
    clock.advance(seconds=60)
    accounts.on_unauthorized(FIRST, "one", clock())
    assert accounts.due_probes(clock()) == ()


@pytest.mark.parametrize("fault", [{"kind": "cut_body"}, {"kind": "status", "status": 200, "body": "<p>soon</p>"}])
async def test_a_200_that_can_not_be_read_resumes_an_account_as_well(
    accounts: CircuitBreakers, far_side: Chaser, clock: Clock, fault: dict[str, object]
) -> None:
    far_side.fault(**fault, times=1)
    accounts.on_unauthorized(FIRST, "one", clock())
    await probed(accounts, far_side, clock)
    assert accounts.paused == ()
