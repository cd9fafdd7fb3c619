"""Programs that are measured: started, waited for, looked at, and ended."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
_START = 30.0


def free_port() -> int:
    """Find a port below those that outgoing connections get, so that it stays free."""
    while True:
        port = random.randrange(20_000, 30_000)  # noqa: S311
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextlib.contextmanager
def running(
    command: Sequence[str | Path], log: Path, *, port: int | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the end of the block. Its output goes to a file; ``port``: wait until it listens there.

    Raises RuntimeError with the end of its output when it doesn't.
    """
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    with log.open("ab") as output:
        process = subprocess.Popen(
            list(map(str, command)), cwd=ROOT, env=kept | dict(environment or {}), stdout=output, stderr=output
        )
    try:
        if port is not None:
            _wait_for(port, process, log)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def resident(process: subprocess.Popen[bytes], what: str = "VmRSS") -> float:
    """Give the memory of a process in MB: ``VmRSS`` now, ``VmHWM`` at its highest."""
    for line in Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == what:
            return int(value.split()[0]) * 1024 / 1e6
    raise RuntimeError(f"/proc tells no {what}")


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _START
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"{process.args!r} does not listen: {log.read_text(errors='replace')[-1000:]}")
