"""`chaser-callback callbacks` beside a running service."""

from tests.cli.conftest import Terminal
from tests.running import Service, phone


def test_a_held_callback_can_be_released_and_a_queued_one_cancelled(here: Service, terminal: Terminal) -> None:
    callback_id = here.ask(client_phone=phone(), website="https://spam.example").json()["id"]
    released = terminal.run("callbacks", "release", callback_id)
    assert (released.returncode, released.stderr) == (0, "")
    assert released.stdout.startswith(f"{callback_id}: ")
    here.wait_for(callback_id, "queued")  # for good: Chaser can't be reached
    while terminal.run("callbacks", "cancel", callback_id).returncode:  # refused while an attempt is under way
        pass
    assert here.status(callback_id) == "cancelled"
    again = terminal.run("callbacks", "release", callback_id)
    assert (again.returncode, again.stderr) == (
        1,
        "This callback is cancelled: only one that is held can be released.\n",
    )


def test_an_unknown_id_is_reported(terminal: Terminal) -> None:
    ended = terminal.run("callbacks", "retry", "nonsense")
    assert (ended.returncode, ended.stderr) == (1, "There is no callback with this id.\n")


def test_show_prints_every_change_of_the_status(here: Service, terminal: Terminal) -> None:
    callback_id = here.ask(client_phone=phone(), website="https://spam.example").json()["id"]
    terminal.run("callbacks", "cancel", callback_id)
    lines = [line.split("\t") for line in terminal.run("callbacks", "show", callback_id).stdout.splitlines()]
    changes = [line[1:-1] for line in lines if line[0] == "change"]
    assert changes == [
        ["1", "", "held", "honeypot", "visitor"],
        ["2", "held", "cancelled", "cancelled", "operator"],
    ]
    code, seen = terminal.run_at_terminal("callbacks", "show", callback_id, columns=100)
    assert code == 0
    rows = [line.split()[-3:] for line in seen.splitlines()]
    assert ["held", "honeypot", "visitor"] in rows
    assert ["cancelled", "cancelled", "operator"] in rows
