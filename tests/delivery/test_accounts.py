"""Paused accounts and their probes, on a clock that the test sets."""

from app.chaser import ChaserClient
from app.delivery.accounts import Accounts
from app.simulator.options import DEMO_CLIENT_ID, DEMO_PRIVATE_KEY
from tests.running import Clock, chaser


async def test_a_probe_does_not_wait_for_a_clock_that_was_set_back() -> None:
    clock = Clock()
    with chaser() as far_side:
        accounts = Accounts({DEMO_CLIENT_ID: ChaserClient(DEMO_CLIENT_ID, DEMO_PRIVATE_KEY, api_url=far_side.api_url)})
        accounts.pause(DEMO_CLIENT_ID, clock())
        clock.advance(seconds=30)
        await accounts.probe(clock())
        assert accounts.paused == (DEMO_CLIENT_ID,), "not a minute yet"
        clock.advance(hours=-1)
        await accounts.probe(clock())
        assert accounts.paused == ()
        await accounts.aclose()
