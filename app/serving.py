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
import time
from collections.abc import Callable, Generator, Sequence
from types import FrameType
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp

from app.edge.connections import Connection, protocol
from app.edge.control_socket import OperatorRequests, listen
from app.logs import event
from app.metrics import Metrics
from app.settings import Settings

log = logging.getLogger(__name__)

# Seconds. Containers are killed ten seconds after SIGTERM. Requests in flight get four of them, delivery seven in all.
_REQUEST_TIMEOUT: Final = 4
_FORCED_EXIT_AFTER: Final = 9.5
_MAX_OPEN_FILES: Final = 65_536
_ACCEPT_TIMEOUT: Final = 1.0  # for the listen backlog, on a machine too busy to accept
_UNACKED: Final = 24  # offset of tcpi_unacked in struct tcp_info (linux/tcp.h): a listening socket's backlog


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
        super().__init__(_config(app, protocol(metrics), host=host, port=port))
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
        """Shut down without resetting connections: accept until the backlog is empty, refuse new ones, respond to all.

        `on_shutdown` is called first, so that the worker stops claiming at once. Closing a socket with a backlog would
        reset the connections in it: their requests are lost, and a proxy must not send those again. A connection whose
        handshake ends at the very moment of closing is still reset.
        """
        self._on_shutdown()
        for server in self._beside:
            server.should_exit = True
        # uvicorn closes a connection after a response with this header.
        self.server_state.default_headers.append((b"connection", b"close"))
        deadline = time.monotonic() + _ACCEPT_TIMEOUT
        while self._has_backlog() and time.monotonic() < deadline:  # noqa: ASYNC110  # the kernel has no event for it
            await asyncio.sleep(0)
        for listening in (*self.servers, *(sockets or ())):
            listening.close()
        try:
            await asyncio.gather(*self._tasks)  # their requests need the outbox, which the lifespan closes below
        finally:
            await super().shutdown(sockets)

    def _has_backlog(self) -> bool:
        """Return whether connections wait to be accepted; False on systems without TCP_INFO, such as macOS.

        The backlog is cut to one connection. Otherwise many could connect while the process waits for a core, and would
        be reset. The others try again after a second and are then refused.
        """
        for number in (listening.fileno() for server in self.servers for listening in server.sockets):
            with contextlib.suppress(AttributeError, OSError), socket.socket(fileno=os.dup(number)) as listening:
                listening.listen(0)
                if any(listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _UNACKED + 4)[_UNACKED:]):
                    return True
        return False


class SideServer(uvicorn.Server):
    """A server beside the first one, which handles the signals and the lifespan of its application."""

    def __init__(self, app: ASGIApp, metrics: Metrics, listener: socket.socket) -> None:
        super().__init__(_config(app, protocol(metrics), lifespan="off"))
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


class ListenError(Exception):
    """A server beside the first one can't listen. The text names the setting, the reason and the fix."""


def side_servers(app: ASGIApp, open_metrics: ASGIApp, metrics: Metrics, settings: Settings) -> list[SideServer]:
    """Return the server of METRICS_PORT, if that is set, and of the control socket. Raises `ListenError`.

    Several replicas in one folder, or a read-only folder, are usual with PostgreSQL. So there a failure of the default
    control socket is only logged.
    """
    servers = []
    if settings.metrics_port is not None:
        address = (settings.metrics_host, settings.metrics_port)
        try:
            listener = socket.create_server(address, family=socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        except OSError as error:
            raise _listen_error("METRICS_PORT", f"{address[0]}:{address[1]}", error, "choose another") from None
        servers.append(SideServer(open_metrics, metrics, listener))
    path = settings.control_path()
    try:
        servers.append(SideServer(OperatorRequests(app), metrics, listen(path)))
    except OSError as error:
        fix = "set CONTROL_SOCKET to another path, in a folder of this user. Each process needs its own"
        failed = _listen_error("CONTROL_SOCKET", str(path), error, fix)
        if settings.uses_sqlite or settings.control_socket is not None:
            raise failed from None
        event(log, "service.no_control_socket", logging.WARNING, advice=str(failed))
    return servers


def _listen_error(setting: str, address: str, error: OSError, fix: str) -> ListenError:
    # Not `strerror`: that of `create_server` repeats the address. Too long a path has a message, but no errno.
    reason = os.strerror(error.errno) if error.errno else str(error)
    return ListenError(f"{setting}: can't listen on {address}: {reason}: {fix}")


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
