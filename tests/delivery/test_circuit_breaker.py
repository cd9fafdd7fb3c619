"""Circuit breakers: refused accounts and sites are paused and probed, on a clock that the test sets."""

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
async def breakers(far_side: Chaser) -> AsyncIterator[CircuitBreakers]:
    opened = CircuitBreakers({name: ChaserClient(name, KEY, api_url=far_side.api_url) for name in (FIRST, SECOND)})
    yield opened
    await opened.aclose()


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not condition():
            await asyncio.sleep(0.01)


async def run_due_probe(breakers: CircuitBreakers, far_side: Chaser, clock: Clock) -> None:
    """Start the probe that is due, and wait until it is answered."""
    before = len(probes_received(far_side))
    breakers.start_probes(clock())
    await eventually(lambda: len(probes_received(far_side)) > before and not breakers.probing)


def probes_received(far_side: Chaser) -> list[str]:
    return [request["path"] for request in far_side.requests(path="/v1/websites")]


async def test_a_refused_account_is_probed_at_once_and_then_once_a_minute_until_it_is_accepted(
    breakers: CircuitBreakers, far_side: Chaser, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    far_side.fault("status", status=401, times=None)
    breakers.on_unauthorized(FIRST, "one", clock())
    breakers.on_unauthorized(FIRST, "another", clock())
    assert breakers.paused == (FIRST,), "until it is known whether it is the account"
    await run_due_probe(breakers, far_side, clock)
    for _ in range(2):
        breakers.on_unauthorized(FIRST, "one that was in flight", clock())
        breakers.start_probes(clock())
        assert not breakers.probing, "not a minute yet"
        clock.advance(seconds=60)
        await run_due_probe(breakers, far_side, clock)
        assert breakers.paused == (FIRST,)
        assert [breakers.is_paused(site) for site in (SHOP, OTHER, ELSEWHERE)] == [True, True, False]
    far_side.clear_faults()
    clock.advance(seconds=60)
    await run_due_probe(breakers, far_side, clock)
    assert breakers.paused == ()
    assert not breakers.is_paused(SHOP)
    logged = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert logged == ["delivery.account_paused", *["delivery.account_still_refused"] * 2], "paused once"


async def test_a_401_concerns_only_the_callback_if_chaser_accepts_the_account(
    breakers: CircuitBreakers, far_side: Chaser, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for times in (1, 2):
        breakers.on_unauthorized(FIRST, "one", clock())
        assert [breakers.is_paused(site) for site in (SHOP, ELSEWHERE)] == [True, False]
        await run_due_probe(breakers, far_side, clock)
        assert breakers.paused == breakers.paused_sites == ()
        logged = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert [(record.message, record.__dict__["fields"]["callback"]) for record in logged] == [
            ("delivery.signature_refused", "one")
        ] * times
        assert len(probes_received(far_side)) == times
    clock.advance(minutes=2)
    breakers.start_probes(clock())
    assert not breakers.probing


async def test_a_probe_does_not_wait_for_a_clock_that_was_set_back(
    breakers: CircuitBreakers, far_side: Chaser, clock: Clock
) -> None:
    far_side.fault("status", status=401, times=1)
    breakers.on_unauthorized(FIRST, "one", clock())
    await run_due_probe(breakers, far_side, clock)
    clock.advance(seconds=30)
    breakers.start_probes(clock())
    assert not breakers.probing, "not a minute yet"
    clock.advance(hours=-1)
    await run_due_probe(breakers, far_side, clock)
    assert breakers.paused == ()


async def test_a_probe_that_hangs_delays_no_other_and_is_not_repeated(
    breakers: CircuitBreakers, far_side: Chaser, clock: Clock
) -> None:
    far_side.fault("hang_before", times=1)
    breakers.on_unauthorized(FIRST, "one", clock())
    breakers.on_unauthorized(SECOND, "two", clock())
    breakers.start_probes(clock())
    await eventually(lambda: len(breakers.paused) == 1)
    for _ in range(3):
        clock.advance(seconds=60)
        breakers.start_probes(clock())
        assert len(breakers.probing) == 1
    (hanging,) = breakers.paused
    healthy = ({FIRST, SECOND} - {hanging}).pop()
    breakers.on_unauthorized(healthy, "three", clock())
    breakers.start_probes(clock())
    await eventually(lambda: breakers.paused == (hanging,))
    assert len(probes_received(far_side)) == 3


async def test_an_account_that_was_removed_from_the_settings_is_paused_and_not_probed(
    breakers: CircuitBreakers, far_side: Chaser, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        breakers.on_removed("4713", clock())
        breakers.start_probes(clock())
        clock.advance(minutes=2)
    assert breakers.paused == ("4713",)
    assert not breakers.probing
    assert [record.message for record in caplog.records] == ["delivery.account_paused"]


async def test_a_403_that_concerns_only_the_site_pauses_only_the_site(
    breakers: CircuitBreakers, far_side: Chaser, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    breakers.on_forbidden(SHOP, 1, clock())
    assert breakers.paused == (FIRST,), "until it is known whether it is the account"
    with caplog.at_level(logging.ERROR, "app"):
        await run_due_probe(breakers, far_side, clock)
    assert breakers.paused == ()
    assert breakers.paused_sites == (SHOP,)
    assert [breakers.is_paused(site) for site in (SHOP, OTHER, ELSEWHERE)] == [True, False, False]
    (logged,) = caplog.records
    assert logged.message == "delivery.site_paused"
    assert "Chaser refuses calls for site_id 1:" in logged.__dict__["fields"]["advice"]


async def test_a_paused_site_is_probed_by_one_callback_a_minute_without_another_websites_request(
    breakers: CircuitBreakers, far_side: Chaser, clock: Clock
) -> None:
    breakers.on_forbidden(SHOP, 1, clock())
    await run_due_probe(breakers, far_side, clock)
    for _ in range(3):
        assert breakers.due_probes(clock()) == (), "not a minute yet"
        clock.advance(seconds=60)
        assert breakers.due_probes(clock()) == (SHOP,)
        breakers.mark_probed(SHOP, clock())
        breakers.on_forbidden(SHOP, 1, clock())
        assert breakers.paused == (), "the other sites continue"
    clock.advance(hours=-1)
    assert breakers.due_probes(clock()) == (SHOP,), "the clock was set back"
    breakers.on_success(SHOP)
    assert breakers.paused_sites == breakers.due_probes(clock()) == ()
    breakers.start_probes(clock())
    assert len(probes_received(far_side)) == 1


async def test_a_403_concerns_the_account_if_the_probe_gets_one_too(
    breakers: CircuitBreakers, far_side: Chaser, clock: Clock
) -> None:
    far_side.fault("status", status=403, times=None)
    breakers.on_forbidden(SHOP, 1, clock())
    breakers.on_forbidden(OTHER, 2, clock())
    await run_due_probe(breakers, far_side, clock)
    assert breakers.paused == (FIRST,)
    far_side.clear_faults()
    clock.advance(seconds=60)
    await run_due_probe(breakers, far_side, clock)
    assert breakers.paused == breakers.paused_sites == (), "the account was the reason for all of them"


NO_PROOF = [{"kind": "status", "status": 500}, {"kind": "reset_before"}, {"kind": "refuse"}]


async def run_probe_without_proof(
    breakers: CircuitBreakers, far_side: Chaser, clock: Clock, fault: dict[str, object]
) -> None:
    far_side.fault(**fault, times=None if fault["kind"] == "refuse" else 1)
    breakers.start_probes(clock())
    await eventually(lambda: not breakers.probing)


@pytest.mark.parametrize("fault", NO_PROOF)
async def test_a_403_counts_against_the_site_if_the_probe_proves_nothing(
    breakers: CircuitBreakers, far_side: Chaser, clock: Clock, fault: dict[str, object]
) -> None:
    breakers.on_forbidden(SHOP, 1, clock())
    await run_probe_without_proof(breakers, far_side, clock, fault)
    assert breakers.paused == ()
    assert breakers.paused_sites == (SHOP,)


@pytest.mark.parametrize("fault", NO_PROOF)
async def test_a_401_counts_against_the_account_if_the_probe_proves_nothing(
    breakers: CircuitBreakers, far_side: Chaser, clock: Clock, fault: dict[str, object]
) -> None:
    breakers.on_forbidden(SHOP, 1, clock())
    breakers.on_unauthorized(FIRST, "one", clock())
    await run_probe_without_proof(breakers, far_side, clock, fault)
    assert breakers.paused == (FIRST,)
    far_side.clear_faults()
    clock.advance(seconds=60)
    breakers.start_probes(clock())
    await eventually(lambda: breakers.paused == ())
    assert breakers.paused_sites == (), "the refused site is tried again, and diagnosed then"


async def test_one_probe_diagnoses_a_401_and_a_403(breakers: CircuitBreakers, far_side: Chaser, clock: Clock) -> None:
    breakers.on_forbidden(SHOP, 1, clock())
    breakers.on_unauthorized(FIRST, "one", clock())
    await run_due_probe(breakers, far_side, clock)
    assert breakers.paused == ()
    assert breakers.paused_sites == (SHOP,)


async def test_a_paused_site_is_not_probed_while_its_account_is_paused(
    breakers: CircuitBreakers, far_side: Chaser, clock: Clock
) -> None:
    breakers.on_forbidden(SHOP, 1, clock())
    await run_due_probe(breakers, far_side, clock)
    clock.advance(seconds=60)
    breakers.on_unauthorized(FIRST, "one", clock())
    assert breakers.due_probes(clock()) == ()


@pytest.mark.parametrize("fault", [{"kind": "cut_body"}, {"kind": "status", "status": 200, "body": "<p>soon</p>"}])
async def test_an_unreadable_200_resumes_an_account_too(
    breakers: CircuitBreakers, far_side: Chaser, clock: Clock, fault: dict[str, object]
) -> None:
    far_side.fault(**fault, times=1)
    breakers.on_unauthorized(FIRST, "one", clock())
    await run_due_probe(breakers, far_side, clock)
    assert breakers.paused == ()
