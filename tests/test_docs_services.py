"""docs/services.md: its script runs unchanged against a real service, and each name in it exists."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from app.settings import Scope
from tests.running import Chaser, Process, chaser, phone, process, until, values

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "services.md").read_text(encoding="utf-8")
SOURCE = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "app").glob("**/*.py")))
COMMAND, SCRIPT = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
LEAD = "79161234567"  # the number in the script


@pytest.fixture(scope="module")
def simulator() -> Iterator[Chaser]:
    with chaser() as running:
        yield running


@pytest.fixture(scope="module")
def created_key() -> tuple[str, dict[str, Any]]:
    """The output of the command on the page: the key, and the settings."""
    program, *arguments = shlex.split(COMMAND)
    assert program == "chaser-callback"
    done = subprocess.run(
        [sys.executable, "-m", "app.cli.entrypoint", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    key, _, *lines = done.stdout.splitlines()
    return key, dict(line.split("=", 1) for line in lines)


@pytest.fixture(scope="module")
def callback_service(
    tmp_path_factory: pytest.TempPathFactory, simulator: Chaser, created_key: tuple[str, dict[str, Any]]
) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("services")
    chosen = values(folder, simulator.api_url, api_keys=None, retry_schedule=["30m"])
    with process(folder, chosen | created_key[1]) as running:
        running.authorized = {"authorization": f"Bearer {created_key[0]}"}
        yield running


def answers(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines() if line]


def test_the_script_covers_the_whole_life_of_a_callback_with_curl_alone(
    callback_service: Process, simulator: Chaser, created_key: tuple[str, dict[str, Any]]
) -> None:
    simulator.fault("status", status=404, path="/v1/call")
    failed = callback_service.accepted()
    callback_service.wait_for(failed, "failed")
    simulator.fault("status", status=503, headers={"Retry-After": "600"}, path="/v1/call")
    queued = callback_service.accepted()
    until(lambda: len(simulator.requests(status="503")) == 1)
    callback_service.wait_for(queued, "queued")
    held_phone = phone()
    held = callback_service.ask(client_phone=held_phone, website="https://spam.example").json()["id"]

    script = SCRIPT.replace("https://callback.example", callback_service.url).replace("ccb_…", created_key[0])
    assert script.count(callback_service.url) == script.count(created_key[0]) == 1
    commands = set(re.findall(r"^\s*(?:\w+=\$\()?([a-z]+) ", re.sub(r"'[^']*'", "''", SCRIPT), re.MULTILINE))
    assert commands <= {"curl", "api", "echo", "newest", "if", "while", "page", "done", "do"}, commands
    ran = subprocess.run(["sh", "-euc", script], capture_output=True, text=True, timeout=120, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")

    created, listed, shown, retried, cancelled, released = answers(ran.stdout)
    assert created["status"] == "queued"
    assert listed["next_cursor"] is None
    (lead,) = listed["callbacks"]
    assert (lead["id"], lead["client_phone"], lead["message_on_ring"]) == (created["id"], LEAD, "Lead 4711")
    assert (lead["client_ip"], lead["api_key"]) == ("203.0.113.7", "crm")
    assert (shown["id"], shown["status"]) == (failed, "failed")
    assert [(attempt["outcome"], attempt["http_status"]) for attempt in shown["attempts"]] == [("refused", 404)]
    assert retried["id"] == failed
    assert cancelled == {"id": queued, "status": "cancelled"}
    assert released["id"] == held
    for callback_id in (created["id"], failed, held):
        callback_service.wait_for(callback_id, "placed")
    assert callback_service.status(queued) == "cancelled"
    assert len(simulator.calls(client_phone=held_phone)) == len(simulator.calls(client_phone=LEAD)) == 1

    again = subprocess.run(["sh", "-euc", script], capture_output=True, text=True, timeout=120, check=True)
    assert answers(again.stdout)[0] == created
    assert len(simulator.calls(client_phone=LEAD)) == 1


def test_it_lists_all_scopes() -> None:
    assert tuple(re.findall(r"^\| `(\w+:\w+)` \|", PAGE, re.MULTILINE)) == get_args(Scope)


def test_each_error_code_in_it_exists() -> None:
    codes = {
        code for row in re.findall(r"^\| \d+ \| (`.+?) \|", PAGE, re.MULTILINE) for code in re.findall(r"\w+", row)
    }
    assert len(codes) > 20
    assert {code for code in codes if f'"{code}"' not in SOURCE} == set()


def test_each_path_in_it_is_in_the_openapi_document(callback_service: Process) -> None:
    paths = callback_service.http.get("/openapi.json").json()["paths"]
    named = set(re.findall(r"(/v1/\w+)", PAGE))
    assert len(named) >= 3
    assert named <= paths.keys()
