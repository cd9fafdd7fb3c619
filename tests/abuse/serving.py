"""`chaser-callback serve` with the limits of app/edge/connections.py, as a process of its own.

To be replaced by `tests.running.process` once `serve` has them.
"""

import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import uvicorn

from app.edge.connections import protocol
from app.edge.waiting import Waiting
from app.logs import configure_logging
from app.main import create_app
from app.outbox.outbox import Outbox
from app.settings import load_settings
from tests.running import Process, client, until


@contextlib.contextmanager
def process(folder: Path, chosen: Mapping[str, Any]) -> Iterator[Process]:
    """As `tests.running.process`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TZ")}
    for name, value in chosen.items():
        environment[name.upper()] = value if isinstance(value, str) else json.dumps(value)
    folder.mkdir(exist_ok=True)
    log = folder / "output.log"
    with log.open("wb") as output:
        root = Path(__file__).parent.parent.parent
        command = [sys.executable, "-m", "tests.abuse.serving", str(port)]
        started = subprocess.Popen(command, env=environment, cwd=root, stdout=output, stderr=subprocess.STDOUT)
    try:
        with client(f"http://127.0.0.1:{port}") as http:
            until(lambda: started.poll() is not None or _answers(http))
            assert started.poll() is None, log.read_text(encoding="utf-8")
            yield Process(f"http://127.0.0.1:{port}", http, started, log)
    finally:
        started.kill()
        started.wait(10)


def _answers(http: httpx2.Client) -> bool:
    try:
        return http.get("/livez").status_code == 200
    except httpx2.TransportError:
        return False


def _main() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    settings = load_settings()
    configure_logging()
    config = uvicorn.Config(
        create_app(settings, outbox=Outbox.open(settings.database_url)),
        port=int(sys.argv[1]),
        http=protocol(Waiting()),
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        proxy_headers=False,
        timeout_graceful_shutdown=5,
    )
    uvicorn.Server(config).run()


if __name__ == "__main__":
    _main()
