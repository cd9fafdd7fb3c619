"""The demo: the service and the simulator as two processes, ready to be looked at in a browser."""

import hashlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

import httpx2

_SETTINGS = """\
database_url = "sqlite:///{folder}/callbacks.db"
duplicate_window = "10s"

[chaser]
client_id = "4711"
private_key = "demo-private-key"
api_url = "{simulator}/v1/"

[sites.shop]
site_id = 12345
origins = ["{simulator}"]
message_on_ring = "A call from the shop's website"
nwt_action = "always_call"
call_stack_start_hour = 10
call_stack_interval = 5
consent = {{ url = "{simulator}/shop#privacy", version = "demo-1" }}

[quotas]
per_phone = "30/hour"
per_client = "300/hour"
per_client_phones = "100/hour"

[api_keys.demo]
sha256 = "{digest}"
scopes = ["callbacks:write", "callbacks:read"]
"""
_READY_WITHIN = 60.0


def run_demo(port: int, simulator_port: int) -> int:
    """Run both until Ctrl-C, SIGTERM, or until one of them ends. Returns the exit code of the command."""
    service, simulator = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{simulator_port}"
    taken = [number for number in (port, simulator_port) if not _free(number)]
    if taken:
        print(f"Port {taken[0]} is in use: stop what uses it, or choose other ports:", file=sys.stderr)
        print("    chaser-callback demo --port 8100 --simulator-port 8101", file=sys.stderr)
        return 3
    # Both by name: a process that a script put into the background was told to ignore SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    with tempfile.TemporaryDirectory(prefix="chaser-callback-demo-") as folder:
        key = f"demo_{secrets.token_urlsafe(16)}"
        file = Path(folder) / "callback.toml"
        digest = hashlib.sha256(key.encode()).hexdigest()
        file.write_text(_SETTINGS.format(folder=folder, simulator=simulator, digest=digest), encoding="utf-8")
        commands = (
            ["simulator", "--port", str(simulator_port), "--service-url", service],
            ["serve", "--port", str(port)],
        )
        processes: list[subprocess.Popen[bytes]] = []
        try:
            for command in commands:
                arguments = [sys.executable, "-m", "app.cli.entrypoint", *command]
                processes.append(subprocess.Popen(arguments, env=_environment(file)))  # noqa: S603
            if not _ready(f"{service}/readyz", processes) or not _ready(f"{simulator}/shop", processes):
                print("The demo did not start; see the lines above.", file=sys.stderr)
                return 1
            _begin_by_day(simulator)
            print(_banner(service, simulator, key), flush=True)
            while all(process.poll() is None for process in processes):
                time.sleep(0.2)
        except KeyboardInterrupt:
            return 0
        finally:
            _end(processes)
    return 1


def _banner(service: str, simulator: str, key: str) -> str:
    body = '{"site": "shop", "client_phone": "8 (916) 123-45-67", "active_page": "%s/shop", "referrer": "%s/"}'
    return f"""
  The shop with the widget   {simulator}/shop
  Calls as they ring         {simulator}/
  The service                {service}/docs

  The same from another program:

    curl -X POST {service}/v1/callbacks \\
      -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\
      -d '{body % (simulator, simulator)}'

  Ctrl-C ends both.
"""


def _environment(file: Path) -> dict[str, str]:
    """Leave out what may stand in this shell for a real service: the demo must not phone anybody."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"CONFIG_FILE": str(file)}


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _ready(url: str, processes: list[subprocess.Popen[bytes]]) -> bool:
    deadline = time.monotonic() + _READY_WITHIN
    while time.monotonic() < deadline and all(process.poll() is None for process in processes):
        try:
            if httpx2.get(url, timeout=2).is_success:
                return True
        except httpx2.TransportError:
            time.sleep(0.05)
    return False


def _begin_by_day(simulator: str) -> None:
    """Set the simulator's clock into working hours: a first call asked for at night would only be queued."""
    httpx2.post(f"{simulator}/_control/clock", json={"to": "day"}).raise_for_status()


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
