"""`chaser-callback blocklist` beside a running service."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.routes.refusal import assert_refused
from tests.running import Service, phone, process, values

ROOT = Path(__file__).parent.parent.parent


class Terminal:
    """Somebody at a terminal with the service's settings."""

    def __init__(self, chosen: dict[str, Any], url: str) -> None:
        self.environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
        for name, value in chosen.items():
            self.environment[name.upper()] = value if isinstance(value, str) else json.dumps(value)
        self.environment["CHASER_CALLBACK_URL"] = url

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "app.cli", "blocklist", *words]
        return subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return values(tmp_path_factory.mktemp("terminal"))


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, chosen: dict[str, Any]) -> Iterator[Service]:
    with process(tmp_path_factory.mktemp("log"), chosen) as running:
        yield running


@pytest.fixture
def terminal(chosen: dict[str, Any], here: Service) -> Terminal:
    return Terminal(chosen, here.url)


def test_what_is_blocked_at_the_terminal_is_refused_at_once_until_it_is_unblocked(
    here: Service, terminal: Terminal
) -> None:
    number = phone()
    added = terminal.run("add", f"+{number}", "--note", "asked never to be phoned")
    assert (added.returncode, added.stdout) == (0, f"blocked: {number}\n")
    assert_refused(here.ask(client_phone=number), 403, "blocked")
    (line,) = [line for line in terminal.run("list").stdout.splitlines() if line.startswith(number)]
    assert line.split("\t")[2] == "asked never to be phoned"
    removed = terminal.run("remove", f"+{number}")
    assert (removed.returncode, removed.stdout) == (0, "unblocked\n")
    assert here.ask(client_phone=number).status_code == 202


def test_a_wrong_entry_is_told_in_one_line_with_the_cure(terminal: Terminal) -> None:
    ended = terminal.run("add", "shop.example")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("entry: Write a phone with + and its country code")
    assert ended.stderr.count("\n") == 1


def test_an_entry_that_is_not_there_is_told(terminal: Terminal) -> None:
    ended = terminal.run("remove", "198.51.100.1")
    assert (ended.returncode, ended.stderr) == (1, "The blocklist has no such entry.\n")


def test_a_service_that_does_not_run_is_told(terminal: Terminal) -> None:
    ended = terminal.run("list", "--url", "http://127.0.0.1:1")
    assert ended.returncode == 3
    assert ended.stderr.startswith("--url: no service answers at http://127.0.0.1:1")


def test_other_settings_than_the_services_open_no_door(chosen: dict[str, Any], here: Service) -> None:
    stranger = Terminal(chosen | {"secret_key": "another secret, of 32 characters or more"}, here.url)
    ended = stranger.run("list")
    assert ended.returncode == 1
    assert "another SECRET_KEY" in ended.stderr
