"""Run a simulator: on the current event loop, in a thread, or as a process until a signal."""

import asyncio
import contextlib
import functools
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future

from app.simulator.options import Options
from app.simulator.server import Running, SimulatorServer


@contextlib.asynccontextmanager
async def running(
    options: Options | None = None, *, host: str = "127.0.0.1", port: int = 0, control_port: int | None = 0
) -> AsyncIterator[Running]:
    """Run a simulator on the current event loop, by default on free ports. Raises OSError if a port is taken."""
    server = SimulatorServer(options, host, port, control_port)
    started = await server.start()
    try:
        yield started
    finally:
        await server.stop()


@contextlib.contextmanager
def running_in_thread(
    options: Options | None = None, *, host: str = "127.0.0.1", port: int = 0, control_port: int | None = 0
) -> Iterator[Running]:
    """Run a simulator in a thread of its own, for code without an event loop. Raises OSError if a port is taken."""
    started: Future[tuple[Running, Callable[[], object]]] = Future()

    async def main() -> None:
        try:
            async with running(options, host=host, port=port, control_port=control_port) as simulator:
                loop, stop = asyncio.get_running_loop(), asyncio.Event()
                started.set_result((simulator, functools.partial(loop.call_soon_threadsafe, stop.set)))
                await stop.wait()
        except OSError as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=asyncio.run, args=(main(),), name="chaser-simulator")
    thread.start()
    try:
        simulator, request_stop = started.result()
        try:
            yield simulator
        finally:
            request_stop()
    finally:
        thread.join()


async def serve(
    host: str = "127.0.0.1",
    port: int = 8001,
    options: Options | None = None,
    *,
    control_port: int | None = None,
    on_ready: Callable[[Running], None] | None = None,
) -> None:
    """Run a simulator until SIGINT or SIGTERM; `on_ready` is called once it listens. Raises OSError."""
    async with running(options, host=host, port=port, control_port=control_port) as simulator:
        stop = asyncio.Event()
        with _on_signals(stop.set):
            if on_ready is not None:
                on_ready(simulator)
            await stop.wait()


@contextlib.contextmanager
def _on_signals(callback: Callable[[], None]) -> Iterator[None]:
    """Call `callback` on SIGINT and SIGTERM. On Windows the event loop has no signal handlers: Ctrl-C interrupts."""
    loop = asyncio.get_running_loop()
    handled = []
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, callback)
            handled.append(number)
    try:
        yield
    finally:
        for number in handled:
            loop.remove_signal_handler(number)
