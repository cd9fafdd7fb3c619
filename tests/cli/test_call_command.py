"""`chaser-callback call`: no phone rings without confirmation, and every call goes through the service."""

import socket
import threading

from tests.cli.conftest import Terminal
from tests.running import Chaser, phone


def test_without_a_terminal_no_phone_rings_unless_yes_is_passed(connected: Terminal, far_side: Chaser) -> None:
    number = phone()
    ended = connected.run("call", number)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("--yes: ")
    assert far_side.calls(client_phone=number) == []


def test_each_status_is_printed_until_the_call_is_placed(connected: Terminal, far_side: Chaser) -> None:
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


def test_at_a_terminal_no_phone_rings_if_the_confirmation_is_declined(connected: Terminal, far_side: Chaser) -> None:
    number = phone()
    code, output = connected.run_at_terminal("call", number, typed="n\n")
    assert code == 1
    assert f"Ring {number} now, for shop? [y/N]" in output
    assert output.endswith("Nobody was rung.\n")
    assert far_side.calls(client_phone=number) == []
    code, output = connected.run_at_terminal("call", number, "--no-wait", typed="y\n")
    assert code == 0
    assert output.splitlines()[-1] in ("queued", "sending", "placed")


def test_an_invalid_number_is_refused_in_one_line(connected: Terminal) -> None:
    ended = connected.run("call", "112", "--yes")
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert ended.stderr.startswith("client_phone: ")


def test_a_missing_argument_is_reported_in_one_line(connected: Terminal) -> None:
    ended = connected.run("call")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "Missing argument 'phone'.\n"


def test_a_lost_response_is_not_reported_as_a_service_that_does_not_run(connected: Terminal) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def close_without_response() -> None:
            with listening.accept()[0] as connection:
                connection.recv(65536)

        threading.Thread(target=close_without_response, daemon=True).start()
        ended = connected.run("call", phone(), "--yes", "--url", f"http://127.0.0.1:{listening.getsockname()[1]}")
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (3, "", 1)
    assert "may have been executed" in ended.stderr
