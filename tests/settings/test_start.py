"""`chaser-callback serve` with invalid settings: it does not start, and prints a line for each error."""

import shutil
import socket
import subprocess
import sys
from pathlib import Path

from tests.settings.conftest import NEEDED, PRIVATE_KEY

ROOT = Path(__file__).parents[2]


def serve(folder: Path, environ: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Start the service on a port in use: with invalid settings it must fail before it opens the port."""
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        command = [sys.executable, "-m", "app.cli.entrypoint", "serve", "--port", str(occupied.getsockname()[1])]
        environ = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"} | environ
        return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False)


def test_without_settings_the_service_does_not_start(tmp_path: Path) -> None:
    result = serve(tmp_path, {})
    assert result.returncode == 2
    assert result.stdout == ""
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == [
        "CHASER__CLIENT_ID",
        "CHASER__PRIVATE_KEY",
        "SITES",
    ]
    assert list(tmp_path.iterdir()) == []


def test_the_unchanged_example_file_is_refused_with_its_placeholders(tmp_path: Path) -> None:
    shutil.copy(ROOT / "callback.example.toml", tmp_path / "callback.toml")
    result = serve(tmp_path, {})
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "CHASER__CLIENT_ID: still a placeholder: put in the real value (chaser.client_id in callback.toml)",
        "CHASER__PRIVATE_KEY: still a placeholder: put in the real value (chaser.private_key in callback.toml)",
        "SITES__SHOP__SITE_ID: still a placeholder: put in the real value (sites.shop.site_id in callback.toml)",
        "SITES__SHOP__ORIGINS: entry 1: still a placeholder: put in the real value "
        "(sites.shop.origins in callback.toml)",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["callback.toml"]


def test_misspelt_unknown_and_conflicting_settings_are_refused_without_showing_secrets(tmp_path: Path) -> None:
    invalid = {
        "DATABSE_URL": f"postgresql://callback:{PRIVATE_KEY}@db/callback",
        "SITES__SHOP__PRIVATE_KEY": PRIVATE_KEY,
        "GIVE_UP_AFTER": "\udcff",
        "SITES__\udcff__SITE_ID": "1",
    }
    result = serve(tmp_path, NEEDED | invalid)
    assert result.returncode == 2
    assert result.stdout == ""
    names = [line.partition(":")[0] for line in result.stderr.splitlines()]
    assert {"DATABSE_URL", "SITES__SHOP__CLIENT_ID", "GIVE_UP_AFTER"} <= set(names)
    assert "Traceback" not in result.stderr
    assert PRIVATE_KEY not in result.stderr
    assert list(tmp_path.iterdir()) == []
