"""The two upstreams in place of Chaser: one answers at once, the other after 300 ms."""

import contextlib
import http.client
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import free_port, running

DELAYS = (0, 300)
"""Milliseconds."""


@dataclass(frozen=True, slots=True)
class Upstreams:
    """The running upstreams: ports by delay in ms."""

    ports: dict[int, int]

    def url(self, delay: int) -> str:
        """Return the base URL of the upstream with a delay in ms."""
        return f"http://127.0.0.1:{self.ports[delay]}/v1/"

    def received(self, delay: int) -> list[tuple[float, str]]:
        """Return the last 1,000 requests, each with its arrival in seconds of this machine's monotonic clock."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[delay], timeout=10)
        connection.request("GET", "/received")
        requests = [(when, text) for when, text in json.loads(connection.getresponse().read())]
        connection.close()
        return requests


@contextlib.contextmanager
def upstreams(folder: Path) -> Iterator[Upstreams]:
    """Run both upstreams in one process until the end of the block."""
    ports = {delay: free_port() for delay in DELAYS}
    pairs = [f"{port}={delay / 1000}" for delay, port in ports.items()]
    command = [sys.executable, "-m", "benchmarks.upstream", *pairs]
    with running(command, folder / "upstream.log", port=ports[DELAYS[-1]]):
        yield Upstreams(ports)
