"""api-key new: the key it prints opens the service that is started with the lines it prints."""

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


def test_the_lines_are_settings_and_hold_no_key() -> None:
    done = new("crm", "--scopes", "callbacks:read, chaser:read,", "--sites", "shop,blog")
    assert (done.returncode, done.stderr) == (0, "")
    key, gap, *lines = done.stdout.splitlines()
    assert key.startswith("ccb_")
    assert gap == ""
    settings = dict(line.removeprefix("API_KEYS__CRM__").split("=", 1) for line in lines)
    read = ApiKey.model_validate({name.lower(): value for name, value in settings.items()})
    assert read.sha256 == sha256(key.encode()).hexdigest()
    assert (read.scopes, read.sites) == (("callbacks:read", "chaser:read"), ("shop", "blog"))
    assert key not in "".join(lines)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("crm", "--scopes", "callbacks:delete"), "--scopes: callbacks:delete: choose from callbacks:write, "),
        (("crm", "--scopes", ","), "--scopes: none: choose from "),
        (("crm", "--sites", "My shop"), "--sites: write this name in lower case"),
        (("CRM",), "NAME: write this name in lower case"),
    ],
)
def test_what_no_settings_would_take_is_refused_in_a_line_with_the_cure(words: tuple[str, ...], told: str) -> None:
    done = new(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(told)
    assert len(done.stderr.splitlines()) == 1
