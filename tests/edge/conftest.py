"""Fixtures of the edge: a shared service without limits or clocks of its own, and a server with short deadlines."""

from collections.abc import Iterator

import pytest
import uvicorn

from tests.edge.short_deadlines import port_of, short_deadline_server
from tests.routes.refusal import OTHER_ORIGIN
from tests.running import Service, chaser, service, settings

WILD_ORIGIN = "https://*.wild.example"


@pytest.fixture(scope="session")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The shared service."""
    sites = {
        "other": {"site_id": 1, "origins": [OTHER_ORIGIN]},
        "wild": {"site_id": 1, "origins": [WILD_ORIGIN, "http://127.0.0.1:8001"]},
    }
    with chaser() as far_side:
        chosen = settings(tmp_path_factory.mktemp("edge"), far_side.api_url, sites=sites)
        with service(chosen) as running:
            yield running


@pytest.fixture(scope="module")
def server() -> Iterator[uvicorn.Server]:
    """A server with the protocol of connections.py and short deadlines."""
    with short_deadline_server() as running:
        yield running


@pytest.fixture
def port(server: uvicorn.Server) -> int:
    return port_of(server)
