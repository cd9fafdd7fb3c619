"""The service with its most verbose output, which tests search for secrets, and with a clock that can be made to raise.

Every logger that could log a request is at DEBUG, asyncio is in debug mode, and Python shows all warnings.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tests.ports import free_port
from tests.running import Process, client, until

ROOT: Final = Path(__file__).parents[2]
LOGGERS: Final = ("asyncio", "httpcore2", "httpx2", "psycopg", "slowapi", "limits", "uvicorn", "uvicorn.error")
_LOUD = f"""
import logging, pathlib, sys
from app import logs, main
from app.cli import entrypoint
from app.logs import configure_logging
from app.main import create_app, utc_now

def configure_debug_logging():
    configure_logging("DEBUG")
    for name in (None, *{LOGGERS}):
        logging.getLogger(name).setLevel(logging.DEBUG)

def clock():
    if broken.exists():
        raise RuntimeError(broken.read_text())
    return utc_now()

broken = pathlib.Path(sys.argv.pop(1))
# The command imports both names when it runs.
logs.configure_logging = configure_debug_logging
main.create_app = lambda settings, **named: create_app(settings, clock=clock, **named)
entrypoint.main()
"""


def environment(values: Mapping[str, Any]) -> dict[str, str]:
    """Return settings as environment variables, with the few that Python needs."""
    inherited = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TZ")}
    return inherited | {
        name.upper(): value if isinstance(value, str) else json.dumps(value) for name, value in values.items()
    }


@contextlib.contextmanager
def loud_process(folder: Path, values: Mapping[str, Any]) -> Iterator[Process]:
    """Run `chaser-callback serve` with debug output. While `folder/broken` exists, the clock raises its content."""
    port = free_port()
    log = folder / "loud.log"
    command = [sys.executable, "-X", "dev", "-c", _LOUD, str(folder / "broken"), "serve", "--port", str(port)]
    variables = {"CONTROL_SOCKET": str(folder / "control.sock")} | environment(values)
    with log.open("wb") as output:
        child = subprocess.Popen(command, env=variables, cwd=ROOT, stdout=output, stderr=output)
    url = f"http://127.0.0.1:{port}"
    try:
        with client(url) as http:
            here = Process(url, http, child, log)
            until(lambda: child.poll() is not None or _listens(port), within=60)
            assert child.poll() is None, here.output()
            yield here
    finally:
        child.kill()
        child.wait(10)


def failed_start(folder: Path, values: Mapping[str, str]) -> str:
    """Run `chaser-callback serve` with invalid settings and return its output. Fails if it starts."""
    command = [sys.executable, "-m", "app.cli.entrypoint", "serve", "--port", "1"]
    completed = subprocess.run(
        command,
        env=environment(values) | {"PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert completed.returncode != 0
    return completed.stdout + completed.stderr


def _listens(port: int) -> bool:
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0
