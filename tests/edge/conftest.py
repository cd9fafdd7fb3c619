"""One service for the tests of the edge that need no limits or clocks of their own."""

from collections.abc import Iterator

import pytest

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
