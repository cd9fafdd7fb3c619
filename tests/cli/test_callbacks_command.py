"""`chaser-callback callbacks` beside a running service."""

from tests.cli.conftest import Terminal
from tests.running import Service, phone


def test_a_held_callback_is_released_and_a_waiting_one_cancelled(here: Service, terminal: Terminal) -> None:
    callback_id = here.ask(client_phone=phone(), website="https://spam.example").json()["id"]
    released = terminal.run("callbacks", "release", callback_id)
    assert (released.returncode, released.stderr) == (0, "")
    assert released.stdout.startswith(f"{callback_id}: ")
    here.wait_for(callback_id, "queued")  # nobody answers at Chaser
    while terminal.run("callbacks", "cancel", callback_id).returncode:  # not while it is being sent
        pass
    assert here.status(callback_id) == "cancelled"
    again = terminal.run("callbacks", "release", callback_id)
    assert (again.returncode, again.stderr) == (
        1,
        "This callback is cancelled: only one that is held can be released.\n",
    )


def test_an_id_that_is_none_is_told(terminal: Terminal) -> None:
    ended = terminal.run("callbacks", "retry", "nonsense")
    assert (ended.returncode, ended.stderr) == (1, "There is no callback with this id.\n")
