"""`chaser-callback blocklist` beside a running service."""

from pathlib import Path

from tests.cli.conftest import Terminal
from tests.routes.refusal import assert_refused
from tests.running import API_KEY, AUTHORIZED, Service, phone, values


def test_a_phone_blocked_at_the_terminal_is_not_called_until_it_is_unblocked(here: Service, terminal: Terminal) -> None:
    number = phone()
    added = terminal.run("blocklist", "add", f"+{number}", "--note", "asked never to be phoned")
    assert (added.returncode, added.stdout) == (0, f"blocked: {number}\n")
    assert_refused(here.ask(AUTHORIZED, client_phone=number), 403, "blocked")
    assert here.status(here.accepted(client_phone=number)) == "held"
    (line,) = [line for line in terminal.run("blocklist", "list").stdout.splitlines() if line.startswith(number)]
    assert line.split("\t")[2] == "asked never to be phoned"
    removed = terminal.run("blocklist", "remove", f"+{number}")
    assert (removed.returncode, removed.stdout) == (0, "unblocked\n")
    assert here.status(here.accepted(client_phone=number)) == "queued"


def test_an_invalid_entry_is_refused_in_one_line_with_the_fix(terminal: Terminal) -> None:
    ended = terminal.run("blocklist", "add", "shop.example")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("entry: Write a phone with + and its country code")
    assert ended.stderr.count("\n") == 1


def test_removing_an_unknown_entry_is_an_error(terminal: Terminal) -> None:
    ended = terminal.run("blocklist", "remove", "198.51.100.1")
    assert (ended.returncode, ended.stderr) == (1, "The blocklist has no such entry.\n")


def test_a_service_that_does_not_run_is_reported(tmp_path: Path, terminal: Terminal) -> None:
    ended = terminal.run("blocklist", "list", "--url", "http://127.0.0.1:1")
    assert ended.returncode == 3
    assert ended.stderr.startswith("--url: no service answers at http://127.0.0.1:1")
    ended = Terminal(values(tmp_path)).run("blocklist", "list")
    assert ended.returncode == 3
    assert ended.stderr.startswith(f"CONTROL_SOCKET: no service answers at {tmp_path}/control.sock: start it, or ")


def test_at_a_url_a_command_has_the_rights_of_its_api_key(here: Service, terminal: Terminal) -> None:
    words = ("blocklist", "list", "--url", here.url)
    assert terminal.run(*words, CHASER_CALLBACK_API_KEY=API_KEY).returncode == 0
    for environment in ({}, {"CHASER_CALLBACK_API_KEY": "ccb_another"}):
        ended = terminal.run(*words, **environment)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr == f"CHASER_CALLBACK_API_KEY: set it to an API key of the service at {here.url}\n"
