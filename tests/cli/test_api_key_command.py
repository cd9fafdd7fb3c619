"""`chaser-callback api-key new`: the printed lines are valid settings for the printed key."""

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from app.settings import ApiKey

ROOT = Path(__file__).parent.parent.parent


def new(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "app.cli.entrypoint", "api-key", "new", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_the_printed_lines_are_valid_settings_and_do_not_contain_the_key() -> None:
    done = new("crm", "--scopes", "callbacks:read, chaser:read,", "--sites", "shop,blog")
    assert (done.returncode, done.stderr) == (0, "")
    key, blank, *lines = done.stdout.splitlines()
    assert key.startswith("ccb_")
    assert blank == ""
    settings = dict(line.removeprefix("API_KEYS__CRM__").split("=", 1) for line in lines)
    parsed = ApiKey.model_validate({name.lower(): value for name, value in settings.items()})
    assert parsed.sha256 == sha256(key.encode()).hexdigest()
    assert (parsed.scopes, parsed.sites) == (("callbacks:read", "chaser:read"), ("shop", "blog"))
    assert key not in "".join(lines)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("crm", "--scopes", "callbacks:delete"), "--scopes: callbacks:delete: choose from callbacks:write, "),
        (("crm", "--scopes", ","), "--scopes: none: choose from "),
        (("crm", "--sites", "My shop"), "--sites: write this name in lower case"),
        (("CRM",), "NAME: write this name in lower case"),
    ],
)
def test_an_invalid_argument_is_refused_in_one_line_with_the_fix(words: tuple[str, ...], message: str) -> None:
    done = new(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(message)
    assert len(done.stderr.splitlines()) == 1
