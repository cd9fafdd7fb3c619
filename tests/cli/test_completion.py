"""What the shell proposes at Tab."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Terminal
from tests.running import Service, values


def propose(terminal: Terminal, words: str) -> list[str]:
    """Give what bash would propose for the last of the words."""
    asked = {"_CHASER_CALLBACK_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    command = [str(Path(sys.executable).parent / "chaser-callback")]
    ended = subprocess.run(
        command, env=terminal.environment | asked, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stderr == ""
    return ended.stdout.split()


@pytest.mark.parametrize(
    ("words", "proposed"),
    [
        ("chaser-callback call --site s", ["shop"]),
        ("chaser-callback callbacks list --status d", ["placed"]),
    ],
)
def test_names_are_proposed(tmp_path: Path, words: str, proposed: list[str]) -> None:
    assert propose(Terminal(values(tmp_path)), words) == proposed


def test_ids_are_proposed_by_the_running_service_and_none_without_it(here: Service, terminal: Terminal) -> None:
    callback_id = here.accepted()
    assert callback_id in propose(terminal, f"chaser-callback callbacks show {callback_id[:8]}")
    terminal.environment["CHASER_CALLBACK_URL"] = "http://127.0.0.1:1"
    assert propose(terminal, "chaser-callback callbacks show 0") == []
