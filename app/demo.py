"""The demo: the service and the simulator as two processes, for a browser."""

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
working_hours = "mon-sun 00:00-24:00"
nwt_action = "always_call"
call_stack_start_hour = 10
call_stack_interval = 5
consent = {{ url = "{simulator}/shop#privacy", version = "demo-1" }}

[quotas]
per_phone = "30/hour"
per_address = "300/hour"
per_address_phones = "100/hour"

[api_keys.demo]
sha256 = "{digest}"
scopes = ["callbacks:write", "callbacks:read"]
"""
_START_TIMEOUT = 60.0  # seconds


def run_demo(port: int, simulator_port: int) -> int:
    """Run both processes until Ctrl-C, SIGTERM or the end of one of them.

    Returns the exit code of the command: 0 after a signal, 1 if a process ended, 3 if a port is in use.
    """
    service, simulator = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{simulator_port}"
    in_use = [number for number in (port, simulator_port) if not _is_free(number)]
    if in_use:
        print(f"Port {in_use[0]} is in use: stop what uses it, or choose other ports:", file=sys.stderr)
        print("    chaser-callback demo --port 8100 --simulator-port 8101", file=sys.stderr)
        return 3
    # SIGINT too: a shell script starts its background processes with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    with tempfile.TemporaryDirectory(prefix="chaser-callback-demo-") as folder:
        key = f"demo_{secrets.token_urlsafe(16)}"
        file = Path(folder) / "callback.toml"
        digest = hashlib.sha256(key.encode()).hexdigest()
        file.write_text(_SETTINGS.format(folder=folder, simulator=simulator, digest=digest), encoding="utf-8")
        commands = (
            ["simulator", "--port", str(simulator_port), "--service-url", service, "--always-open"],
            ["serve", "--port", str(port)],
        )
        processes: list[subprocess.Popen[bytes]] = []
        try:
            for command in commands:
                arguments = [sys.executable, "-m", "app.cli.entrypoint", *command]
                processes.append(subprocess.Popen(arguments, env=_environment(file)))  # noqa: S603
            if not all(_wait_until_ready(url, processes) for url in (f"{service}/readyz", f"{simulator}/shop")):
                print("The demo did not start; see the lines above.", file=sys.stderr)
                return 1
            print(_banner(service, simulator, key), flush=True)
            while all(process.poll() is None for process in processes):
                time.sleep(0.2)
        except KeyboardInterrupt:
            return 0
        finally:
            _terminate(processes)
    return 1


def _banner(service: str, simulator: str, key: str) -> str:
    body = '{"site": "shop", "client_phone": "8 (916) 123-45-67", "active_page": "%s/shop", "referrer": "%s/"}'
    return f"""
  The shop with the widget   {simulator}/shop
  Calls as they are made     {simulator}/
  The service                {service}/docs

  The same request from the command line:

    curl -X POST {service}/v1/callbacks \\
      -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\
      -d '{body % (simulator, simulator)}'

  Ctrl-C ends both.
"""


def _environment(file: Path) -> dict[str, str]:
    """Return the environment without any settings of a real service: the demo must not place real calls."""
    names = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH")
    return {name: os.environ[name] for name in names if name in os.environ} | {"CONFIG_FILE": str(file)}


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _wait_until_ready(url: str, processes: list[subprocess.Popen[bytes]]) -> bool:
    deadline = time.monotonic() + _START_TIMEOUT
    while time.monotonic() < deadline and all(process.poll() is None for process in processes):
        try:
            if httpx2.get(url, timeout=2).is_success:
                return True
        except httpx2.TransportError:
            time.sleep(0.05)
    return False


def _terminate(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
