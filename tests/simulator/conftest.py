"""The fixture `client`: a simulator on free ports, and a client of its API."""

from collections.abc import AsyncIterator

import pytest

from app.simulator.options import DEMO_ACCOUNT, Account, Options, Site
from app.simulator.running import running
from tests.simulator.support import Client

OTHER = Account("42", "k&e=y +%ключ~", (Site("777", "other.example"),))


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with running(Options((DEMO_ACCOUNT, OTHER), ring_seconds=60.0)) as simulator:
        yield Client(simulator)
