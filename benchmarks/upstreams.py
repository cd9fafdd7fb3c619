"""The benchmark's own Chaser, twice: one that answers at once, and one that takes 300 ms."""

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
    """The ports, by delay in milliseconds."""

    ports: dict[int, int]

    def url(self, delay: int) -> str:
        """Give the address of the one that takes so many milliseconds."""
        return f"http://127.0.0.1:{self.ports[delay]}/v1/"

    def received(self, delay: int) -> list[tuple[float, str]]:
        """Give the last requests, each with when it was there, on the monotonic clock of this machine."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[delay], timeout=10)
        connection.request("GET", "/received")
        found = [(when, text) for when, text in json.loads(connection.getresponse().read())]
        connection.close()
        return found


@contextlib.contextmanager
def upstreams(folder: Path) -> Iterator[Upstreams]:
    """Run them."""
    ports = {delay: free_port() for delay in DELAYS}
    pairs = [f"{port}={delay / 1000}" for delay, port in ports.items()]
    command = [sys.executable, "-m", "benchmarks.upstream", *pairs]
    with running(command, folder / "upstream.log", port=ports[DELAYS[-1]]):
        yield Upstreams(ports)
