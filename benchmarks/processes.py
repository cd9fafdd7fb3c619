"""Start, await, measure and stop the programs of the benchmarks."""

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
_START_TIMEOUT = 30.0  # seconds


def free_port() -> int:
    """Return a free port below the ephemeral range, so that no outgoing connection takes it meanwhile."""
    while True:
        port = random.randrange(20_000, 30_000)  # noqa: S311
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextlib.contextmanager
def running(
    command: Sequence[str | Path], log: Path, *, port: int | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the end of the block, with its output in the file `log`.

    `port`: wait until the program listens there. Raises RuntimeError with the end of its output if it doesn't.
    """
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    with log.open("ab") as output:
        process = subprocess.Popen(
            list(map(str, command)), cwd=ROOT, env=inherited | dict(environment or {}), stdout=output, stderr=output
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


def resident(process: subprocess.Popen[bytes], field: str = "VmRSS") -> float:
    """Return the resident memory of a process in MB: `VmRSS` is the current value, `VmHWM` the peak."""
    for line in Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024 / 1e6
    raise RuntimeError(f"/proc has no {field} of this process")


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """Return the CPU time of a process in seconds, in user mode and in the kernel."""
    after_name = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2]
    user, kernel = after_name.split()[11:13]
    return (int(user) + int(kernel)) / os.sysconf("SC_CLK_TCK")


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"{process.args!r} does not listen: {log.read_text(errors='replace')[-1000:]}")
