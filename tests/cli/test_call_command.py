"""`chaser-callback call`: nobody is rung unasked, and what is rung goes through the service."""

import socket
import threading

from tests.cli.conftest import Terminal
from tests.running import Chaser, phone


def test_without_a_terminal_nobody_is_rung_unless_it_is_said(connected: Terminal, far_side: Chaser) -> None:
    number = phone()
    ended = connected.run("call", number)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("--yes: ")
    assert far_side.calls(client_phone=number) == []


def test_a_call_is_followed_until_it_is_delivered(connected: Terminal, far_side: Chaser) -> None:
    number = phone()
    ended = connected.run("call", f"+{number}", "--site", "shop", "--yes", "--manager-phone", "74950000001")
    assert (ended.returncode, ended.stderr) == (0, "")
    callback_id, *statuses = ended.stdout.splitlines()
    assert statuses[-1] == "placed"
    (rung,) = far_side.calls(client_phone=number)
    assert rung["manager_phone"] == "74950000001"
    shown = connected.run("callbacks", "show", callback_id).stdout.splitlines()
    assert f"client_phone\t{number}" in shown
    assert "api_key\t(terminal)" in shown
    (attempt,) = [line.split("\t") for line in shown if line.startswith("attempt\t")]
    assert attempt[3:5] == ["placed", "200"]


def test_a_call_that_chaser_refuses_ends_with_an_error(connected: Terminal, far_side: Chaser) -> None:
    far_side.fault("status", status=404, path="/v1/call")
    ended = connected.run("call", phone(), "--yes")
    assert ended.returncode == 1
    assert ended.stdout.splitlines()[-1] == "failed\trefused_by_chaser"


def test_at_a_terminal_it_asks_and_no_is_no(connected: Terminal, far_side: Chaser) -> None:
    number = phone()
    code, seen = connected.see("call", number, typed="n\n")
    assert code == 1
    assert f"Ring {number} now, for shop? [y/N]" in seen
    assert seen.endswith("Nobody was rung.\n")
    assert far_side.calls(client_phone=number) == []
    code, seen = connected.see("call", number, "--no-wait", typed="y\n")
    assert code == 0
    assert seen.splitlines()[-1] in ("queued", "sending", "placed")


def test_a_number_that_is_none_is_told_in_one_line(connected: Terminal) -> None:
    ended = connected.run("call", "112", "--yes")
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert ended.stderr.startswith("client_phone: ")


def test_a_missing_argument_is_told_in_one_line(connected: Terminal) -> None:
    ended = connected.run("call")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "Missing argument 'phone'.\n"


def test_an_answer_that_is_lost_is_not_told_as_a_service_that_is_away(connected: Terminal) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def hang_up() -> None:
            with listening.accept()[0] as visitor:
                visitor.recv(65536)

        threading.Thread(target=hang_up, daemon=True).start()
        ended = connected.run("call", phone(), "--yes", "--url", f"http://127.0.0.1:{listening.getsockname()[1]}")
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (3, "", 1)
    assert "may have been done" in ended.stderr
