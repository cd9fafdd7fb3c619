"""A service shared by all tests of the routes. Its limits are wide: tests only need different phones."""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.routes.refusal import OTHER_ORIGIN
from tests.running import ORIGIN, Chaser, Service, chaser, client, service, settings

PROXY = "127.0.0.2"
"""The address of the trusted proxy. Tests connect from 127.0.0.1, which is not trusted."""
READER_KEY, BOUND_KEY = "ccb_may-only-read", "ccb_bound-to-the-other-site"

SITES: dict[str, Any] = {
    "other": {"site_id": 12345, "origins": [OTHER_ORIGIN]},
    "terms": {
        "site_id": 12345,
        "origins": [ORIGIN, "https://*.shop.example"],
        "manager_phone": "+7 (495) 000-00-01",
        "message_on_ring": "From the site",
        "working_hours": "mon-sun 00:00-24:00",
        "nwt_action": "always_call",
        "call_stack_start_hour": 10,
        "call_stack_interval": 5,
        "departments": {
            "sales": {"name": "Sales", "manager_phone": "+74950000002", "message_on_ring": "For sales"},
            "service": {"name": "Service"},
        },
        "texts": {"ru": {"button": "Перезвоните мне"}},
        "theme": {"color": "#0a7", "position": "left"},
        "phone": "+7 495 000-00-03",
    },
    "consent": {
        "site_id": 12345,
        "origins": [ORIGIN],
        "consent": {"url": "https://shop.example/privacy", "version": "2026-01", "text": {"ru": "Я согласен"}},
    },
}


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


@pytest.fixture(scope="session")
def far_side() -> Iterator[Chaser]:
    """A simulator of Chaser without faults."""
    with chaser() as simulator:
        yield simulator


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the shared service's database."""
    return tmp_path_factory.mktemp("routes")


@pytest.fixture(scope="session")
def here(folder: Path, far_side: Chaser) -> Iterator[Service]:
    """The shared service."""
    chosen = settings(
        folder,
        far_side.api_url,
        sites=SITES,
        trusted_proxies=[PROXY],
        api_keys={
            "reader": {"sha256": digest(READER_KEY), "scopes": ["callbacks:read"]},
            "bound": {"sha256": digest(BOUND_KEY), "scopes": ["callbacks:write"], "sites": ["other"]},
        },
    )
    with service(chosen) as running:
        yield running


@pytest.fixture(scope="session")
def by_proxy(here: Service) -> Iterator[Service]:
    """The shared service with a client that connects from the trusted proxy."""
    with client(here.url, from_address=PROXY) as http:
        yield Service(here.url, http)


@pytest.fixture(scope="session")
def stored(folder: Path) -> Callable[[httpx2.Response], dict[str, Any]]:
    """Return a function that reads the stored row of an accepted request."""

    def row_of(answer: httpx2.Response) -> dict[str, Any]:
        assert answer.status_code == 202, answer.text
        with closing(sqlite3.connect(f"file:{folder}/callbacks.db?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            row = dict(database.execute("SELECT * FROM callbacks WHERE id = ?", (answer.json()["id"],)).fetchone())
        row["consent"] = json.loads(row["consent"]) if row["consent"] else None
        return row

    return row_of


@pytest.fixture(scope="session")
def arrived(here: Service, far_side: Chaser) -> Callable[[httpx2.Response, str], dict[str, Any]]:
    """Return a function that waits until a request is placed, and returns the parameters that Chaser received."""

    def parameters_of(answer: httpx2.Response, client_phone: str) -> dict[str, Any]:
        assert answer.status_code == 202, answer.text
        here.wait_for(answer.json()["id"], "placed")
        (call,) = far_side.calls(client_phone=client_phone)
        parameters: dict[str, Any] = call["params"]
        return parameters

    return parameters_of
