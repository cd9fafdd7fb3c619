"""The service at its most talkative, and with a clock that can be made to break: what it writes is then searched.

Every logger that could tell of a request is at DEBUG, asyncio in its debug mode, and Python shows all warnings.
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
from app import cli, logs, main
from app.logs import configure_logging
from app.main import create_app, utc_now

def loudly():
    configure_logging("DEBUG")
    for name in (None, *{LOGGERS}):
        logging.getLogger(name).setLevel(logging.DEBUG)

def clock():
    if broken.exists():
        raise RuntimeError(broken.read_text())
    return utc_now()

broken = pathlib.Path(sys.argv.pop(1))
# The command imports both when it runs.
logs.configure_logging = loudly
main.create_app = lambda settings, **named: create_app(settings, clock=clock, **named)
cli.main()
"""


def environment(chosen: Mapping[str, Any]) -> dict[str, str]:
    """Give settings as variables, beside the few that Python needs."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TZ")}
    return kept | {
        name.upper(): value if isinstance(value, str) else json.dumps(value) for name, value in chosen.items()
    }


@contextlib.contextmanager
def loud_process(folder: Path, chosen: Mapping[str, Any]) -> Iterator[Process]:
    """Run `chaser-callback serve`, loudly. While the file `folder/broken` exists, its clock raises what is in it."""
    port = free_port()
    log = folder / "loud.log"
    command = [sys.executable, "-X", "dev", "-c", _LOUD, str(folder / "broken"), "serve", "--port", str(port)]
    with log.open("wb") as output:
        started = subprocess.Popen(command, env=environment(chosen), cwd=ROOT, stdout=output, stderr=output)
    url = f"http://127.0.0.1:{port}"
    try:
        with client(url) as http:
            here = Process(url, http, started, log)
            until(lambda: started.poll() is not None or _listens(port), within=60)
            assert started.poll() is None, here.output()
            yield here
    finally:
        started.kill()
        started.wait(10)


def failed_start(folder: Path, chosen: Mapping[str, str]) -> str:
    """Run `chaser-callback serve` with settings that can't be used, and give all it wrote. Fails when it serves."""
    command = [sys.executable, "-m", "app.cli.entrypoint", "serve", "--port", "1"]
    done = subprocess.run(
        command,
        env=environment(chosen) | {"PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    return done.stdout + done.stderr


def _listens(port: int) -> bool:
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0
