"""The command itself: wrong settings start nothing, and say so in one line for each fault."""

import shutil
import socket
import subprocess
import sys
from pathlib import Path

from tests.settings.conftest import NEEDED, PRIVATE_KEY

ROOT = Path(__file__).parents[2]


def serve(folder: Path, environ: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Start the service on a port that is taken: with wrong settings it must not come as far as to notice."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-m", "app.cli.entrypoint", "serve", "--port", str(taken.getsockname()[1])]
        environ = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"} | environ
        return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False)


def test_with_nothing_set_nothing_starts(tmp_path: Path) -> None:
    ended = serve(tmp_path, {})
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert [line.partition(":")[0] for line in ended.stderr.splitlines()] == [
        "CHASER__CLIENT_ID",
        "CHASER__PRIVATE_KEY",
        "SITES",
    ]
    assert list(tmp_path.iterdir()) == []


def test_the_example_file_as_it_is_starts_nothing_and_names_its_placeholders(tmp_path: Path) -> None:
    shutil.copy(ROOT / "callback.example.toml", tmp_path / "callback.toml")
    ended = serve(tmp_path, {})
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.splitlines() == [
        "CHASER__CLIENT_ID: still a placeholder: put in the real value (chaser.client_id in callback.toml)",
        "CHASER__PRIVATE_KEY: still a placeholder: put in the real value (chaser.private_key in callback.toml)",
        "SITES__SHOP__SITE_ID: still a placeholder: put in the real value (sites.shop.site_id in callback.toml)",
        "SITES__SHOP__ORIGINS: entry 1: still a placeholder: put in the real value "
        "(sites.shop.origins in callback.toml)",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["callback.toml"]


def test_misspelt_unknown_and_contradicting_settings_start_nothing_and_show_no_secret(tmp_path: Path) -> None:
    wrong = {
        "DATABSE_URL": f"postgresql://callback:{PRIVATE_KEY}@db/callback",
        "SITES__SHOP__PRIVATE_KEY": PRIVATE_KEY,
        "GIVE_UP_AFTER": "\udcff",
        "SITES__\udcff__SITE_ID": "1",
    }
    ended = serve(tmp_path, NEEDED | wrong)
    assert ended.returncode == 2
    assert ended.stdout == ""
    names = [line.partition(":")[0] for line in ended.stderr.splitlines()]
    assert {"DATABSE_URL", "SITES__SHOP__CLIENT_ID", "GIVE_UP_AFTER"} <= set(names)
    assert "Traceback" not in ended.stderr
    assert PRIVATE_KEY not in ended.stderr
    assert list(tmp_path.iterdir()) == []
