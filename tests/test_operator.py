"""The control socket: whoever may open it is the operator, and nobody else is."""

import contextlib
import hashlib
import hmac
import logging
import os
import shutil
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.edge.control_socket import ControlSocketError, listen
from app.edge.proof_of_work import Challenges
from app.main import create_app, utc_now
from app.serving import control_server
from tests.databases import PostgreSQL
from tests.routes.refusal import assert_refused
from tests.running import Clock, Service, operator, phone, process, service, settings, values
from tests.solving import solve, solved

NOBODY = 65534
CHALLENGED = {"shop": {"challenge": "on"}}
# What another user of the machine tries. It prints what it could open.
INTRUDER = """
import socket, sys
for path in sys.argv[2:]:
    try:
        open(path, "rb").read()
        print(path)
    except OSError:
        pass
try:
    socket.socket(socket.AF_UNIX).connect(sys.argv[1])
    print(sys.argv[1])
except OSError:
    pass
"""


def old_operator_key(secret: bytes) -> str:
    """Return the key of the operator as version 0.1 derived it."""
    return f"ccb_{hmac.new(secret, b'the operator at the terminal', hashlib.sha256).hexdigest()}"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service without SECRET_KEY."""
    with service(settings(tmp_path_factory.mktemp("control"), secret_key=None)) as running:
        yield running


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user of the machine can enter; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_on_the_socket_a_request_has_all_scopes_and_is_the_operators(here: Service) -> None:
    held = here.accepted(website="https://spam.example")
    with operator(here) as http:
        accepted = http.post("/v1/callbacks", json={"site": "shop", "client_phone": phone()})
        assert accepted.status_code == 202
        assert http.post(f"/v1/callbacks/{held}/cancel").json()["status"] == "cancelled"
        first = http.get(f"/v1/callbacks/{accepted.json()['id']}").json()
        last = http.get(f"/v1/callbacks/{held}").json()
        assert (first["status_history"][0]["actor"], first["client_ip"]) == ("operator", "127.0.0.1")
        assert last["status_history"][-1]["actor"] == "operator"
        assert http.get("/v1/blocklist").status_code == http.get("/metrics").status_code == 200


def test_on_the_port_nobody_is_the_operator(here: Service) -> None:
    claims = {
        "host": "localhost",
        "forwarded": "for=unix:",
        "x-forwarded-for": "127.0.0.1",
        "x-real-ip": "unix:",
        "is_operator": "true",
        "is-operator": "true",
        "x-is-operator": "1",
        "cookie": "is_operator=1",
    }
    for path in ("/v1/callbacks", "/v1/blocklist", "/metrics"):
        assert_refused(here.http.get(path, headers=claims, params={"is_operator": "true"}), 401, "missing_api_key")
        for name in ("(terminal)", "None"):
            answer = here.http.get(path, headers=claims | {"authorization": f"Bearer {name}"})
            assert_refused(answer, 401, "invalid_api_key")
    assert "settings" not in here.http.get("/readyz", headers=claims).json()


@pytest.mark.parametrize("secret_key", [None, "a secret key of the tests, 32 characters or more"])
def test_nothing_derived_from_known_secrets_opens_anything(tmp_path: Path, secret_key: str | None) -> None:
    chosen = settings(tmp_path, secret_key=secret_key, sites=CHALLENGED)
    derived = settings(tmp_path, secret_key=None).legacy_secret()
    with service(chosen) as here:
        for secret in (derived, chosen.legacy_secret()):
            headers = {"authorization": f"Bearer {old_operator_key(secret)}"}
            for path in ("/v1/callbacks", "/v1/blocklist", "/metrics"):
                assert_refused(here.http.get(path, headers=headers), 401, "invalid_api_key")
        forged = solved(Challenges(derived, utc_now).issue("shop", 1))
        assert_refused(here.ask(client_phone=phone(), challenge=forged), 403, "challenge_wrong")


def test_another_user_of_the_machine_opens_nothing(open_folder: Path) -> None:
    made, existing = open_folder / "made", open_folder / "existing"
    existing.mkdir(mode=0o755)
    for folder in (made, existing):
        with service(settings(folder)) as here:
            here.accepted()
            files = sorted(path for path in folder.iterdir() if path != here.control)
            assert {path.name for path in files} >= {"callbacks.db", "callbacks.db-wal", "callbacks.db-shm"}
            for path in (*files, here.control):
                assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
            if os.geteuid() == 0:  # only root can run a program as another user
                assert intruder_opens(here.control, *files) == []
                here.control.chmod(0o666)
                assert intruder_opens(here.control) == ([] if folder is made else [str(here.control)])
    assert stat.S_IMODE(made.stat().st_mode) == 0o700


def intruder_opens(control: Path, *files: Path) -> list[str]:
    """Return the paths that a program of another user could open."""
    python = shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin")
    assert python is not None
    ended = subprocess.run(
        [python, "-c", INTRUDER, str(control), *map(str, files)],
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
    )
    return ended.stdout.splitlines()


def test_a_socket_that_was_left_behind_is_replaced(tmp_path: Path) -> None:
    with process(tmp_path, values(tmp_path)) as here:
        here.kill()
        assert here.control.is_socket()
        with socket.socket(socket.AF_UNIX) as probe, pytest.raises(ConnectionRefusedError):
            probe.connect(str(here.control))
    with service(settings(tmp_path)) as here, operator(here) as http:
        assert http.get("/livez").status_code == 200


def test_a_socket_in_use_and_a_file_are_refused_with_the_fix(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    listener = listen(path)
    with contextlib.closing(listener):
        with pytest.raises(AssertionError) as failed, process(tmp_path, values(tmp_path)):
            pass
        fix = "stop it, or set CONTROL_SOCKET to another path: each process needs its own"
        expected = f"CONTROL_SOCKET: another process listens at {path}: {fix}"
        assert expected in str(failed.value).splitlines()
        assert "Traceback" not in str(failed.value)
        assert path.is_socket()
    path.unlink()
    path.write_text("the owner's notes")
    with pytest.raises(ControlSocketError, match="is no socket: remove it"):
        listen(path)
    assert path.read_text() == "the owner's notes"
    with pytest.raises(ControlSocketError, match="too long: set CONTROL_SOCKET"):
        listen(tmp_path / ("long" * 30))


def test_with_postgresql_a_second_replica_in_the_folder_is_warned(
    tmp_path: Path, postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = settings(tmp_path, database_url=postgresql.new_database())
    assert chosen.control_path() == Path("data/control.sock")
    app = create_app(chosen)
    with contextlib.closing(listen(chosen.control_path())), caplog.at_level(logging.WARNING):
        assert control_server(app, app.metrics, chosen) == []
    (warning,) = [record for record in caplog.records if record.message == "service.no_control_socket"]
    assert "set CONTROL_SOCKET to another path" in warning.__dict__["advice"]


@pytest.mark.parametrize("changes", [(None, "b" * 32), ("a" * 32, "b" * 32), ("a" * 32, None)])
def test_what_the_former_secret_signed_or_hashed_is_recognised(
    tmp_path: Path, changes: tuple[str | None, str | None]
) -> None:
    before, after = (settings(tmp_path, secret_key=secret_key, sites=CHALLENGED) for secret_key in changes)
    clock = Clock()
    body = {"client_phone": phone(), "request_id": "the-key"}
    with service(before, clock=clock) as here:
        in_flight, body["challenge"] = solve(here.http), solve(here.http)
        clock.advance(seconds=5)
        first = here.ask(**body)
        assert first.status_code == 202
    with service(after, clock=clock) as here:
        again = here.ask(**body)
        assert (again.json(), again.headers["idempotency-replayed"]) == (first.json(), "true")
        assert here.ask(client_phone=phone(), challenge=in_flight).status_code == 202
        assert_refused(here.ask(client_phone=phone(), challenge=in_flight), 409, "challenge_used")
        new = solve(here.http)
        clock.advance(seconds=5)
        assert here.ask(client_phone=phone(), challenge=new).status_code == 202
    clock.advance(minutes=11)
    with service(after, clock=clock) as here:
        again = here.ask(**body)
        assert (again.json(), again.headers["idempotency-replayed"]) == (first.json(), "true")
