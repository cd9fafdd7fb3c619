"""HTTP servers: uvicorn with a bounded shutdown and with timeouts for slow connections.

Metrics may have a port of their own, and the operator has the control socket: further servers on the same event loop,
started and stopped by the first one.
"""

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import threading
from collections.abc import Callable, Generator, Sequence
from types import FrameType
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp

from app.edge.accept_backlog import empty_the_queue
from app.edge.connection_reaper import Waiting
from app.edge.connections import Connection, protocol
from app.edge.control_socket import ControlSocketError, OperatorRequests, listen
from app.logs import event
from app.metrics import Metrics
from app.settings import Settings

log = logging.getLogger(__name__)

# Seconds. Containers are killed ten seconds after SIGTERM. Requests in flight get four of them, delivery seven in all.
_REQUEST_TIMEOUT: Final = 4
_FORCED_EXIT_AFTER: Final = 9.5
_MAX_OPEN_FILES: Final = 65_536


class Server(uvicorn.Server):
    """Uvicorn that calls `on_shutdown` as soon as its shutdown begins, and exits in time even if something hangs."""

    def __init__(
        self,
        app: ASGIApp,
        on_shutdown: Callable[[], None],
        metrics: Metrics,
        host: str = "127.0.0.1",
        port: int = 8000,
        beside: Sequence["SideServer"] = (),
    ) -> None:
        """Serve `app`. Requests refused before they reach it are counted in `metrics`."""
        self._protocol = protocol(Waiting(), metrics)
        super().__init__(_config(app, self._protocol, host=host, port=port))
        self._on_shutdown = on_shutdown
        self._beside = beside
        self._tasks: list[asyncio.Task[None]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then start the servers beside it."""
        await super().startup(sockets)
        self._tasks = [asyncio.create_task(server.serve_here()) for server in self._beside]

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal: start the shutdown, and the timer that forces an exit if it takes too long."""
        super().handle_exit(sig, frame)
        timer = threading.Timer(_FORCED_EXIT_AFTER, _force_exit, [signal.Signals(sig).name])
        timer.daemon = True
        timer.start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Shut down without resetting connections: new ones are refused, and requests in flight get their response.

        `on_shutdown` is called first, so that the worker stops claiming at once.
        """
        self._on_shutdown()
        for server in self._beside:
            server.should_exit = True
        self._protocol.closing = True
        for connection in self.server_state.connections:
            if isinstance(connection, Connection):
                connection.close_soon()
        await empty_the_queue([listener.fileno() for server in self.servers for listener in server.sockets])
        await super().shutdown(sockets)
        await asyncio.gather(*self._tasks)


class SideServer(uvicorn.Server):
    """A server beside the first one, which handles the signals and the lifespan of its application."""

    def __init__(self, app: ASGIApp, metrics: Metrics, listener: socket.socket) -> None:
        super().__init__(_config(app, protocol(Waiting(), metrics), lifespan="off"))
        self._listener = listener

    async def serve_here(self) -> None:
        """Serve on the current event loop until `should_exit`."""
        await self.serve([self._listener])

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Capture no signals."""
        yield


def _config(app: ASGIApp, http: type[Connection], **options: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=http,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        # app/net/client_address.py finds the client's IP address; uvicorn trusts the leftmost X-Forwarded-For entry.
        proxy_headers=False,
        timeout_graceful_shutdown=_REQUEST_TIMEOUT,
        **options,
    )


def metrics_server(app: ASGIApp, metrics: Metrics, settings: Settings) -> list[SideServer]:
    """Return the server for METRICS_PORT, none without that setting. Raises OSError if the port can't be bound."""
    if settings.metrics_port is None:
        return []
    host = settings.metrics_host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return [SideServer(app, metrics, socket.create_server((host, settings.metrics_port), family=family))]


def control_server(app: ASGIApp, metrics: Metrics, settings: Settings) -> list[SideServer]:
    """Return the server of the control socket, which serves `app` to the operator.

    Several replicas in one folder, or a read-only folder, are usual with PostgreSQL. So without CONTROL_SOCKET a
    failure is only logged there. Otherwise raises `ControlSocketError`.
    """
    try:
        return [SideServer(OperatorRequests(app), metrics, listen(settings.control_path()))]
    except ControlSocketError as error:
        if settings.uses_sqlite or settings.control_socket is not None:
            raise
        event(log, "service.no_control_socket", logging.WARNING, advice=str(error))
        return []


def allow_open_files() -> None:
    """Raise the soft limit of open files to the hard limit, at most 65,536.

    A connection is an open file, and many systems start with a limit of 1,024.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = _MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def _force_exit(signal_name: str) -> None:
    # The next start finishes the claims of this process, as after a SIGKILL.
    event(log, "service.forced_exit", logging.ERROR, signal=signal_name, after=_FORCED_EXIT_AFTER)
    os._exit(1)
