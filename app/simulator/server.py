"""The simulator as an HTTP server, with its own listening sockets, which it can close and reopen.

Two ports serve the same app. Clients use the API port; the fault `refuse` closes it, so that connections are refused.
The control port is never closed; without one, `refuse` needs a number of seconds. While the API port is closed, a
socket that does not listen stays bound to it: otherwise another process could take the port.
"""

import asyncio
import contextlib
import socket
from dataclasses import dataclass

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from app.simulator.core import Simulator
from app.simulator.options import Options
from app.simulator.simulator_app import create_simulator
from app.simulator.wire_faults import EXTENSION, Connection

_GRACE_SECONDS = 1.0


@dataclass(frozen=True)
class Running:
    """A simulator that is listening. `url` is its origin, without a slash at the end."""

    url: str
    control_origin: str | None
    simulator: Simulator
    """Its state; only for code on the simulator's event loop."""

    @property
    def api_url(self) -> str:
        """The base URL for clients, in place of the vendor's https://api.chaser.ru/v1/."""
        return f"{self.url}/v1/"

    @property
    def control_url(self) -> str:
        """The base URL of the control API, on the control port if there is one."""
        return f"{self.control_origin or self.url}/_control/"


class SimulatorServer:
    """One simulator on an API port and, unless `control_port` is None, a control port; 0 means any free port."""

    def __init__(self, options: Options | None, host: str, port: int, control_port: int | None) -> None:
        self._app = create_simulator(options)
        self._simulator: Simulator = self._app.state.simulator
        self._host = host
        self._ports = (port, control_port)
        self._config = uvicorn.Config(
            self._app, lifespan="off", ws="none", log_config=None, access_log=False, proxy_headers=False
        )
        self._state = ServerState()
        self._api: asyncio.Server | None = None
        self._control: asyncio.Server | None = None
        self._reserved: socket.socket | None = None
        self._reopening: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def has_control_port(self) -> bool:
        """Whether the control path can be reached while the API port is closed."""
        return self._control is not None

    async def start(self) -> Running:
        """Start to listen and return the addresses. Raises OSError if a port is taken."""
        self._config.load()
        port, control_port = self._ports
        listening = _bind(self._host, port)
        self._address = listening.getsockname()
        self._api = await self._listen(listening)
        control_origin = None
        if control_port is not None:
            try:
                control = _bind(self._host, control_port)
            except OSError:
                await self.stop()
                raise
            control_origin = _origin(self._host, control.getsockname()[1])
            self._control = await self._listen(control)
        return Running(_origin(self._host, self._address[1]), control_origin, self._simulator)

    async def stop(self) -> None:
        """Stop listening, end hanging requests, close every connection. Takes about a second at most."""
        self._simulator.stop()
        if self._reopening is not None:
            self._reopening.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        servers = [server for server in (self._api, self._control) if server is not None]
        for server in servers:
            server.close()
        if self._reserved is not None:
            self._reserved.close()
        await self._close_connections()
        for server in servers:
            await server.wait_closed()

    async def _close_connections(self) -> None:
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            _, stuck = await asyncio.wait(list(self._state.tasks), timeout=_GRACE_SECONDS)
            for task in stuck:
                task.cancel()
            await asyncio.gather(*stuck, return_exceptions=True)
        for connection in list(self._state.connections):
            connection.transport.abort()
        # Aborted connections call connection_lost in the next iterations of the event loop.
        for _ in range(3):
            await asyncio.sleep(0)

    async def refuse(self, seconds: float | None) -> None:
        """Close the API port for `seconds`, None until `restore`. Connections with a request finish it first."""
        if self._reopening is not None:
            self._reopening.cancel()
            self._reopening = None
        if self._api is not None:
            self._api.close()
            self._api = None
            for connection in list(self._state.connections):
                if connection.transport.get_extra_info("sockname")[:2] == self._address[:2]:
                    connection.shutdown()
            self._reserved = await _rebind(self._address)
        if seconds is not None:
            self._reopening = asyncio.get_running_loop().call_later(seconds, self._reopen)

    def resets_new_connection(self, transport: asyncio.Transport) -> bool:
        """Return whether a scripted fault resets this new connection, and count it. Only on the API port."""
        on_api_port = transport.get_extra_info("sockname")[:2] == self._address[:2]
        return on_api_port and self._simulator.faults.next_for_connection() is not None

    async def restore(self) -> None:
        """Open the API port again, if it is closed."""
        if self._reserved is not None:
            reserved, self._reserved = self._reserved, None
            self._api = await self._listen(reserved)
        self._simulator.faults.clear("refuse")
        self._simulator.announce()

    def _reopen(self) -> None:
        task = asyncio.get_running_loop().create_task(self.restore())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _listen(self, listening: socket.socket) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: _Protocol(self._config, self._state, self), sock=listening)


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol, which also puts the connection into the scope of each request."""

    def __init__(self, config: uvicorn.Config, state: ServerState, listener: SimulatorServer) -> None:
        super().__init__(config=config, server_state=state, app_state={})
        inner = self.app

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})[EXTENSION] = Connection(self.transport, listener)
            await inner(scope, receive, send)

        self.app = app
        self._listener = listener

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a new connection, or reset it if a fault is scripted for it."""
        super().connection_made(transport)
        if self._listener.resets_new_connection(transport):
            Connection(transport, self._listener).reset()


def _bind(host: str, port: int) -> socket.socket:
    """Return a socket bound to the first address of `host`, not listening yet. Raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


async def _rebind(address: tuple[str, int]) -> socket.socket:
    """Bind an address again after its listener was closed. Retries for 1 s: some event loops close it with a delay."""
    for _ in range(100):
        with contextlib.suppress(OSError):
            return _bind(address[0], address[1])
        await asyncio.sleep(0.01)
    return _bind(address[0], address[1])


def _origin(host: str, port: int) -> str:
    reachable = {
        "0.0.0.0": "127.0.0.1",  # noqa: S104 - replaced, not bound
        "::": "::1",
    }.get(host, host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"
