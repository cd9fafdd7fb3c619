"""Shell completion of sites, statuses and ids."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.cli.completion import STATUSES
from app.outbox.callback import Status
from tests.cli.conftest import Terminal
from tests.running import Service, values


def propose(terminal: Terminal, words: str) -> list[str]:
    """Return the completions that bash would propose for the last word."""
    completion = {
        "_CHASER_CALLBACK_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    command = [str(Path(sys.executable).parent / "chaser-callback")]
    ended = subprocess.run(
        command, env=terminal.environment | completion, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stderr == ""
    return ended.stdout.split()


@pytest.mark.parametrize(
    ("words", "proposed"),
    [
        ("chaser-callback call --site s", ["shop"]),
        ("chaser-callback callbacks list --status p", ["placed"]),
    ],
)
def test_sites_and_statuses_are_proposed(tmp_path: Path, words: str, proposed: list[str]) -> None:
    assert propose(Terminal(values(tmp_path)), words) == proposed


def test_every_status_is_known_to_the_filters() -> None:
    assert list(STATUSES) == list(Status)


def test_ids_come_from_the_running_service_and_without_it_nothing_is_proposed(
    here: Service, terminal: Terminal
) -> None:
    callback_id = here.accepted()
    assert callback_id in propose(terminal, f"chaser-callback callbacks show {callback_id[:8]}")
    terminal.environment["CONTROL_SOCKET"] = "data/nothing.sock"
    assert propose(terminal, "chaser-callback callbacks show 0") == []
