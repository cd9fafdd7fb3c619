"""Listening: uvicorn, with an end that comes in time, and with limits for connections that dawdle.

Metrics may have a port of their own: a second server on the same event loop, whose life is within the first one's.
"""

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import threading
from collections.abc import Callable, Generator
from types import FrameType
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp

from app.edge.connections import Connection, protocol
from app.edge.newcomers import empty_the_queue
from app.edge.waiting import Waiting
from app.logs import event
from app.metrics import Metrics
from app.settings import Settings

log = logging.getLogger(__name__)

# Containers are killed ten seconds after SIGTERM. Requests under way get four of them, the delivery seven in all.
_REQUESTS: Final = 4
_CUT_OFF: Final = 9.5
_MOST_FILES: Final = 65_536


class Server(uvicorn.Server):
    """Uvicorn that tells of its end as soon as it begins, by calling ``end``, and that ends in time whatever hangs."""

    def __init__(
        self,
        app: ASGIApp,
        end: Callable[[], None],
        metrics: Metrics,
        host: str = "127.0.0.1",
        port: int = 8000,
        beside: "MetricsServer | None" = None,
    ) -> None:
        """Serve ``app``. What is refused before the application hears of it is counted in ``metrics``."""
        self._protocol = protocol(Waiting(), metrics)
        super().__init__(_config(app, self._protocol, host=host, port=port))
        self._end = end
        self._beside = beside
        self._serving_beside: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin; beside as well, once everything there is."""
        await super().startup(sockets)
        if self._beside is not None:
            self._serving_beside = asyncio.create_task(self._beside.serve_here())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal."""
        super().handle_exit(sig, frame)
        last = threading.Timer(_CUT_OFF, _force_exit, [signal.Signals(sig).name])
        last.daemon = True
        last.start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End without cutting anybody off: who comes now finds the door closed, and who is in gets an answer.

        The delivery hears of it first.
        """
        self._end()
        if self._beside is not None:
            self._beside.should_exit = True
        self._protocol.closing = True
        for connection in self.server_state.connections:
            if isinstance(connection, Connection):
                connection.close_soon()
        await empty_the_queue([listening.fileno() for server in self.servers for listening in server.sockets])
        await super().shutdown(sockets)
        if self._serving_beside is not None:
            await self._serving_beside


class MetricsServer(uvicorn.Server):
    """A second server, for an application without a lifespan; it leaves signals to the first one."""

    def __init__(self, app: ASGIApp, metrics: Metrics, host: str, port: int) -> None:
        """Take the port. Raises OSError."""
        super().__init__(_config(app, protocol(Waiting(), metrics), lifespan="off"))
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listening = socket.create_server((host, port), family=family)

    async def serve_here(self) -> None:
        """Serve until ``should_exit``."""
        await self.serve([self._listening])

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Capture none."""
        yield


def _config(app: ASGIApp, http: type[Connection], **chosen: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=http,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        # The true address is found by edge/client_address.py; uvicorn's own way believes the leftmost entry.
        proxy_headers=False,
        timeout_graceful_shutdown=_REQUESTS,
        **chosen,
    )


def metrics_server(app: ASGIApp, metrics: Metrics, settings: Settings) -> MetricsServer | None:
    """Make the server of METRICS_PORT; None when there is no such port. Raises OSError when the port can't be had."""
    if settings.metrics_port is None:
        return None
    return MetricsServer(app, metrics, settings.metrics_host, settings.metrics_port)


def allow_open_files() -> None:
    """Let the process open as many files as it may: a connection is one, and many systems begin with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _force_exit(name: str) -> None:
    # What is under way is settled at the next start, as after a kill.
    event(log, "service.forced_exit", logging.ERROR, signal=name, after=_CUT_OFF)
    os._exit(1)
