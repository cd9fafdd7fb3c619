"""docs/services.md: its script runs word for word against a real service, and each name in it exists."""

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
def far_side() -> Iterator[Chaser]:
    with chaser() as simulator:
        yield simulator


@pytest.fixture(scope="module")
def made() -> tuple[str, dict[str, Any]]:
    """What the command on the page prints: the key, and the settings."""
    program, *words = shlex.split(COMMAND)
    assert program == "chaser-callback"
    done = subprocess.run(
        [sys.executable, "-m", "app.cli.entrypoint", *words], cwd=ROOT, capture_output=True, text=True, check=True
    )
    key, _, *lines = done.stdout.splitlines()
    return key, dict(line.split("=", 1) for line in lines)


@pytest.fixture(scope="module")
def here(
    tmp_path_factory: pytest.TempPathFactory, far_side: Chaser, made: tuple[str, dict[str, Any]]
) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("services")
    chosen = values(folder, far_side.api_url, api_keys=None, retry_schedule=["30m"])
    with process(folder, chosen | made[1]) as running:
        yield running


def answers(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines() if line]


def test_the_script_does_the_whole_life_of_a_callback_with_curl_alone(
    here: Process, far_side: Chaser, made: tuple[str, dict[str, Any]]
) -> None:
    far_side.fault("status", status=404, path="/v1/call")
    failed = here.accepted()
    here.wait_for(failed, "failed")
    far_side.fault("status", status=503, headers={"Retry-After": "600"}, path="/v1/call")
    queued = here.accepted()
    until(lambda: len(far_side.requests(status="503")) == 1)
    here.wait_for(queued, "queued")
    held_phone = phone()
    held = here.ask(client_phone=held_phone, website="https://spam.example").json()["id"]

    script = SCRIPT.replace("https://callback.example", here.url).replace("ccb_…", made[0])
    assert script.count(here.url) == script.count(made[0]) == 1
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
        here.wait_for(callback_id, "placed")
    assert here.status(queued) == "cancelled"
    assert len(far_side.calls(client_phone=held_phone)) == len(far_side.calls(client_phone=LEAD)) == 1

    again = subprocess.run(["sh", "-euc", script], capture_output=True, text=True, timeout=120, check=True)
    assert answers(again.stdout)[0] == created
    assert len(far_side.calls(client_phone=LEAD)) == 1


def test_the_scopes_in_it_are_those_there_are() -> None:
    assert tuple(re.findall(r"^\| `(\w+:\w+)` \|", PAGE, re.MULTILINE)) == get_args(Scope)


def test_each_code_in_it_is_one_of_the_service() -> None:
    codes = {
        code for row in re.findall(r"^\| \d+ \| (`.+?) \|", PAGE, re.MULTILINE) for code in re.findall(r"\w+", row)
    }
    assert len(codes) > 20
    assert {code for code in codes if f'"{code}"' not in SOURCE} == set()


def test_each_address_in_it_is_in_the_document(here: Process) -> None:
    paths = here.http.get("/openapi.json").json()["paths"]
    named = set(re.findall(r"(/v1/\w+)", PAGE))
    assert len(named) >= 3
    assert named <= paths.keys()
