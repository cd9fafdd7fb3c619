"""Listening: uvicorn, with an end that comes in time, and with limits for connections that dawdle."""

import logging
import os
import resource
import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from app.edge.connections import protocol
from app.edge.waiting import Waiting
from app.logs import event

log = logging.getLogger(__name__)

# Containers are killed ten seconds after SIGTERM. Requests under way get two of them, the delivery seven in all.
_REQUESTS: Final = 2
_CUT_OFF: Final = 9.5
_MOST_FILES: Final = 65_536


class Server(uvicorn.Server):
    """Uvicorn that tells of its end as soon as it begins, by calling ``end``, and that ends in time whatever hangs."""

    def __init__(self, app: ASGIApp, end: Callable[[], None], host: str = "127.0.0.1", port: int = 8000) -> None:
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            http=protocol(Waiting()),
            log_config=None,
            access_log=False,
            server_header=False,
            ws="none",
            # The true address is found by edge/client_address.py; uvicorn's own way believes the leftmost entry.
            proxy_headers=False,
            timeout_graceful_shutdown=_REQUESTS,
        )
        super().__init__(config)
        self._end = end

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal."""
        super().handle_exit(sig, frame)
        last = threading.Timer(_CUT_OFF, _cut_off, [signal.Signals(sig).name])
        last.daemon = True
        last.start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End: the delivery hears of it before connections are waited for."""
        self._end()
        await super().shutdown(sockets)


def allow_open_files() -> None:
    """Let the process open as many files as it may: a connection is one, and many systems begin with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _cut_off(name: str) -> None:
    # What is under way is settled at the next start, as after a kill.
    event(log, "service.cut_off", logging.ERROR, signal=name, after=_CUT_OFF)
    os._exit(1)
