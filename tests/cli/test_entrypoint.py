"""`chaser-callback serve` as a process: its output and exit code if it can't start."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from app.outbox.outbox import Outbox
from tests.running import values

ROOT = Path(__file__).parent.parent.parent


def serve(settings: Mapping[str, Any]) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TZ")}
    for name, value in settings.items():
        environment[name.upper()] = value if isinstance(value, str) else json.dumps(value)
    command = [sys.executable, "-m", "app.cli.entrypoint", "serve", "--port", "1"]  # must fail before it listens
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_database_without_a_table_ends_the_process_with_one_line(tmp_path: Path) -> None:
    settings = values(tmp_path)
    Outbox.open(settings["database_url"]).close()
    with closing(sqlite3.connect(tmp_path / "callbacks.db")) as database:
        database.execute("ALTER TABLE callbacks RENAME TO gone")
    ended = serve(settings)
    assert ended.returncode == 3
    assert ended.stderr == ""
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    (error,) = [line for line in lines if line["event"].startswith("DATABASE_URL: ")]
    assert error["level"] == "ERROR"
    assert "no such table: callbacks" in [line.get("cause") for line in lines]
    assert not any("Traceback" in line["event"] for line in lines)


def test_a_second_process_on_the_same_file_ends_with_one_line(tmp_path: Path) -> None:
    settings = values(tmp_path)
    outbox = Outbox.open(settings["database_url"])
    ended = serve(settings)
    outbox.close()
    assert ended.returncode == 3
    assert ended.stderr.startswith("DATABASE_URL: another process already works on ")
    assert len(ended.stderr.splitlines()) == 1
