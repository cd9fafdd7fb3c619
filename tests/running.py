"""Runs the real service for tests: uvicorn on a free port, SQLite in the test's folder, a simulated Chaser or none.

    with chaser() as far_side, service(settings(tmp_path, far_side.api_url)) as here:
        answer = here.ask(client_phone=phone())
        here.wait_for(answer.json()["id"], "placed")
        assert far_side.calls()[0]["params"]["client_ip"] == "127.0.0.1"

`service` and `chaser` run in threads, so synchronous and async tests and fixtures of any scope can use them. Stopping
takes about a second: share one in a module if its state allows, with a new `phone()` for each test. Use `process` for a
service that the test kills, or whose log it reads.
"""

import contextlib
import hashlib
import itertools
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2

from app.delivery.worker import POLL_INTERVAL
from app.main import create_app, utc_now
from app.outbox.outbox import Outbox
from app.serving import Server, control_server
from app.settings import Settings
from app.simulator.options import DEMO_CLIENT_ID, DEMO_PRIVATE_KEY, DEMO_SITE_ID, Options
from app.simulator.running import running_in_thread
from tests.ports import free_port

NOBODY = "http://127.0.0.1:1/v1/"
"""The URL of a Chaser that can't be reached: nothing listens on port 1, so callbacks stay queued."""
ORIGIN = "https://shop.example"
API_KEY = "ccb_the-key-of-the-crm-in-tests"
AUTHORIZED = {"authorization": f"Bearer {API_KEY}"}

AT_ONCE = 0.02
"""A poll interval in seconds for tests that advance a clock: the worker soon finds callbacks that became due."""

_phones = itertools.count(79160000001)


def phone() -> str:
    """Return the digits of a Russian mobile number that no other test uses, because quotas count by number."""
    return str(next(_phones))


def values(folder: Path, chaser_url: str = NOBODY, **overrides: Any) -> dict[str, Any]:
    """Return the settings as plain values, as a file would contain them.

    One site `shop`, one API key `crm` with all scopes, and limits that no test reaches by accident. `overrides` are
    merged into that, dictionaries recursively; None removes a key:
    `values(tmp_path, sites={"shop": {"consent": {...}}}, quotas={"per_phone": "3/hour"}, limits=None)`.
    """
    defaults: dict[str, Any] = {
        "chaser": {
            "client_id": DEMO_CLIENT_ID,
            "private_key": DEMO_PRIVATE_KEY,
            "api_url": chaser_url,
            "timeout": "5s",
        },
        "sites": {"shop": {"site_id": int(DEMO_SITE_ID), "origins": [ORIGIN], "working_hours": "mon-sun 00:00-24:00"}},
        "database_url": f"sqlite:///{folder / 'callbacks.db'}",
        "secret_key": "a secret key of the tests, 32 characters or more",
        "limits": {"flood": "100000/minute"},
        "quotas": {
            "per_phone": "1000/hour",
            "per_address": "100000/hour",
            "per_address_phones": "100000/hour",
            "per_site": "100000/day",
            "held_per_site": "100000/day",
        },
        "api_keys": {
            "crm": {
                "sha256": hashlib.sha256(API_KEY.encode()).hexdigest(),
                "scopes": ["callbacks:write", "callbacks:read", "chaser:read"],
            }
        },
    }
    chosen = _merge(defaults, overrides)
    # Tests of the challenge turn it on; all others would have to solve it.
    chosen["sites"] = {name: {"challenge": "off"} | site for name, site in chosen["sites"].items()}
    return chosen


def settings(folder: Path, chaser_url: str = NOBODY, **overrides: Any) -> Settings:
    """Return Settings of `values`, without reading the environment or a file."""
    return Settings.model_validate(values(folder, chaser_url, **overrides))


class Clock:
    """A clock that only the test advances; it starts at the current time."""

    def __init__(self, now: datetime | None = None) -> None:
        self.now = now or datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        """Advance the clock, for example `advance(minutes=2)`."""
        self.now += timedelta(**by)


class Service:
    """A running service. `url`: its base URL; `http`: an HTTP client that connects from 127.0.0.1.

    `visitors`: an HTTP client that connects from another address for each request, by default `http`. `authorized`: the
    header with an API key that may read callbacks.
    """

    authorized: Mapping[str, str] = AUTHORIZED
    control = Path()
    """Its control socket: see `operator`."""

    def __init__(self, url: str, http: httpx2.Client, visitors: httpx2.Client | None = None) -> None:
        self.url = url
        self.http = http
        self._visitors = visitors or http

    def ask(self, headers: Mapping[str, str] | None = None, **fields: Any) -> httpx2.Response:
        """Send POST /v1/callbacks for the site `shop`, by default with its Origin header and as a new visitor.

        With `headers` it is sent from 127.0.0.1, for which 20 different phones within a minute are a burst.
        """
        http, headers = (self._visitors, {"origin": ORIGIN}) if headers is None else (self.http, headers)
        return http.post("/v1/callbacks", json={"site": "shop"} | fields, headers=headers)

    def accepted(self, **fields: Any) -> str:
        """Request a callback as a visitor, with a new phone number unless one is passed. Returns its id."""
        answer = self.ask(**({"client_phone": phone()} | fields))
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def shown(self, callback_id: str) -> Any:
        """Return a callback with all its fields, as an API key sees it."""
        answer = self.http.get(f"/v1/callbacks/{callback_id}", headers=self.authorized)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def status(self, callback_id: str) -> str:
        """Return the true status of a callback."""
        return str(self.shown(callback_id)["status"])

    def public_status(self, callback_id: str) -> str:
        """Return the status of a callback that its visitor is shown."""
        answer = self.http.get(f"/v1/callbacks/{callback_id}")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["status"])

    def wait_for(self, callback_id: str, status: str, within: float = 15.0) -> None:
        """Wait until the callback has that status. Fails after `within` seconds."""
        until(lambda: self.status(callback_id) == status, within)


class VisitorTransport(httpx2.BaseTransport):
    """Sends each request over a new connection, from the next of 250 loopback addresses."""

    _addresses = tuple(f"127.1.0.{host}" for host in range(1, 251))

    def __init__(self) -> None:
        self._without_tls = ssl.create_default_context()  # one for all: each would take 20 ms
        self._transports: dict[str, httpx2.HTTPTransport] = {}
        self._next = itertools.cycle(self._addresses)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request."""
        address = next(self._next)
        transport = self._transports.get(address)
        if transport is None:
            limits = httpx2.Limits(max_keepalive_connections=0)
            transport = httpx2.HTTPTransport(verify=self._without_tls, local_address=address, limits=limits)
            self._transports[address] = transport
        return transport.handle_request(request)

    def close(self) -> None:
        """Close all connections."""
        for transport in self._transports.values():
            transport.close()


class Chaser:
    """A simulator of Chaser, and its control API. `api_url`: for the settings."""

    def __init__(self, api_url: str, http: httpx2.Client) -> None:
        self.api_url = api_url
        self.http = http

    def calls(self, **filters: str) -> list[dict[str, Any]]:
        """Return the executed calls, oldest first; filters: state, result, site_id, client_phone, client_id."""
        calls: list[dict[str, Any]] = self._control("GET", "calls", params=filters)["calls"]
        return calls

    def requests(self, **filters: str) -> list[dict[str, Any]]:
        """Return the received requests, oldest first; filters: method, path, status, fault."""
        requests: list[dict[str, Any]] = self._control("GET", "requests", params=filters)["requests"]
        return requests

    def fault(self, kind: str, **fields: Any) -> None:
        """Inject a fault. See the simulator's POST /_control/faults for kinds and fields."""
        self._control("POST", "faults", json={"kind": kind, **fields})

    def clear_faults(self) -> None:
        """Remove all faults."""
        self._control("DELETE", "faults")

    def _control(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        answer = self.http.request(method, path, **arguments)
        assert answer.is_success, answer.text
        body: dict[str, Any] = answer.json()
        return body


class Process(Service):
    """The service as a process of its own."""

    def __init__(
        self,
        url: str,
        http: httpx2.Client,
        process: subprocess.Popen[bytes],
        log: Path,
        visitors: httpx2.Client | None = None,
    ) -> None:
        super().__init__(url, http, visitors)
        self.process = process
        self._log = log

    def output(self) -> str:
        """Return its standard output and standard error so far."""
        return self._log.read_text(encoding="utf-8")

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self.process.kill()
        self.process.wait(10)

    def terminate(self, within: float = 20.0) -> int:
        """Stop it with SIGTERM and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within)


@contextlib.contextmanager
def service(
    chosen: Settings,
    *,
    clock: Callable[[], datetime] = utc_now,
    outbox: Outbox | None = None,
    poll_interval: float = POLL_INTERVAL,
    listening: socket.socket | None = None,
) -> Iterator[Service]:
    """Run the service in a thread until the end of the block, with the server of `chaser-callback serve`.

    `outbox`: used instead of the one in the settings; it is closed at the end as well. `listening`: the socket to serve
    on, by default a new one on IPv4. A test that advances the `clock` sets the `poll_interval` to AT_ONCE. Otherwise
    each step would take a second.
    """
    listening = listening or _listening()
    app = create_app(chosen, outbox=outbox, clock=clock, poll_interval=poll_interval)
    # A test on PostgreSQL may run several services with the same settings.
    beside = control_server(app, app.metrics, chosen) if chosen.uses_sqlite or chosen.control_socket else []
    server = Server(app, app.end, app.metrics, beside=beside)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            server.run(sockets=[listening])
        except BaseException as error:  # noqa: BLE001  # the test fails with it below
            failures.append(error)

    thread = threading.Thread(target=run, name="service")
    thread.start()
    try:
        until(lambda: server.started or not thread.is_alive())
        assert server.started, f"the service did not start: {failures}"
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with client(url) as http, visiting(url) as visitors:
            running = Service(url, http, visitors)
            running.control = chosen.control_path()
            yield running
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
    assert not failures, failures


@contextlib.contextmanager
def process(folder: Path, chosen: Mapping[str, Any]) -> Iterator[Process]:
    """Run `chaser-callback serve` with `values` as a process until the end of the block.

    Its output is written to a new file in `folder`; its settings are passed in the environment.
    """
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TZ")}
    for name, value in chosen.items():
        environment[name.upper()] = value if isinstance(value, str) else json.dumps(value)
    if environment["DATABASE_URL"].startswith("postgresql"):
        environment.setdefault("CONTROL_SOCKET", str(folder / f"control-{port}.sock"))
    log = next(path for n in itertools.count(1) if not (path := folder / f"output-{n}.log").exists())
    command = [sys.executable, "-m", "app.cli.entrypoint", "serve", "--port", str(port)]
    with log.open("wb") as output:
        root = Path(__file__).parent.parent
        started = subprocess.Popen(command, env=environment, cwd=root, stdout=output, stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{port}"
    try:
        with client(url) as http, visiting(url) as visitors:
            until(lambda: started.poll() is not None or _answers(http), within=60)
            assert started.poll() is None, log.read_text(encoding="utf-8")
            running = Process(url, http, started, log, visitors)
            running.control = Path(environment.get("CONTROL_SOCKET", folder / "control.sock"))
            yield running
    finally:
        started.kill()
        started.wait(10)


@contextlib.contextmanager
def chaser(options: Options | None = None) -> Iterator[Chaser]:
    """Run a simulator in a thread until the end of the block, by default with the account and site of `values`."""
    with running_in_thread(options) as simulator, client(simulator.control_url) as http:
        yield Chaser(simulator.api_url, http)


@contextlib.contextmanager
def client(url: str, from_address: str = "127.0.0.1", timeout: float = 30.0) -> Iterator[httpx2.Client]:
    """Open an HTTP client that connects from one of the loopback addresses 127.0.0.0/8."""
    # The server closes idle connections after 5 s, perhaps while a request is in flight.
    limits = httpx2.Limits(keepalive_expiry=2)
    transport = httpx2.HTTPTransport(local_address=from_address, limits=limits)
    with httpx2.Client(base_url=url, transport=transport, timeout=timeout) as http:
        yield http


@contextlib.contextmanager
def operator(here: Service) -> Iterator[httpx2.Client]:
    """Open an HTTP client of the service's control socket."""
    transport = httpx2.HTTPTransport(uds=str(here.control))
    with httpx2.Client(base_url="http://localhost", transport=transport, timeout=30.0) as http:
        yield http


def visiting(url: str) -> httpx2.Client:
    """Return an HTTP client, to be closed, that sends each request as another visitor."""
    return httpx2.Client(base_url=url, transport=VisitorTransport(), timeout=30.0)


def until(condition: Callable[[], bool], within: float = 15.0) -> None:
    """Wait until a condition is true. Fails after `within` seconds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"waited {within} s in vain"
        time.sleep(0.02)


def _merge(defaults: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(defaults)
    for name, value in overrides.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(merged.get(name), Mapping):
            merged[name] = _merge(merged[name], value)
        else:
            merged[name] = value
    return merged


def _listening() -> socket.socket:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", 0))
    return listening


def _answers(http: httpx2.Client) -> bool:
    try:
        return http.get("/livez").status_code == 200
    except httpx2.TransportError:
        return False
