"""Ports for servers that are started as processes."""

import contextlib
import random
import socket

_RANDOM = random.SystemRandom()  # parallel test processes share one seed, and would choose the same ports


def free_port() -> int:
    """Return a free port below the ephemeral range, so that no outgoing connection takes it before it is used."""
    while True:
        port = _RANDOM.randrange(20_000, 30_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
