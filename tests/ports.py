"""Ports for servers that are started as processes."""

import contextlib
import random
import socket

_CHANCE = random.SystemRandom()  # tests begin with one seed, and run beside each other


def free_port() -> int:
    """Find a port below those the system gives to outgoing connections, so that it stays free while nobody listens."""
    while True:
        port = _CHANCE.randrange(20_000, 30_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
