"""A proxy that delays PostgreSQL: `python -m benchmarks.delay_proxy PORT MILLISECONDS SOCKET`.

It listens on a TCP port of 127.0.0.1 and connects to a Unix socket. A round trip through it takes longer by the given
milliseconds, half of them in each direction, as if the server were on another machine.
"""

import asyncio
import contextlib
import selectors
import sys
from pathlib import Path

_LARGEST_CHUNK = 1 << 20


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    """Write each chunk that arrives `delay` seconds after its arrival, without delaying the reading of the next one."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(_LARGEST_CHUNK):
            # Each time is later than the one before, so the chunks keep their order.
            loop.call_later(delay, _write, writer, chunk)
    await asyncio.sleep(delay)
    if not writer.is_closing():
        with contextlib.suppress(OSError):  # the other side may have reset the connection
            writer.write_eof()


def _write(writer: asyncio.StreamWriter, chunk: bytes) -> None:
    if not writer.is_closing():
        writer.write(chunk)


async def serve(port: int, delay: float, socket: str) -> None:
    """Listen on the port forever. `delay`: seconds for each direction. `socket`: path of the server's Unix socket."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            try:
                from_server, to_server = await asyncio.open_unix_connection(socket)
            except OSError as error:
                print(f"{socket}: {error}", file=sys.stderr)
                return
            with contextlib.closing(to_server):
                await asyncio.gather(_forward(reader, to_server, delay), _forward(from_server, writer, delay))

    server = await asyncio.start_server(handle, "127.0.0.1", port)
    await server.serve_forever()


def _precise_loop() -> asyncio.AbstractEventLoop:
    """Return a loop with timers of microseconds: epoll and uvloop round half a millisecond up to a whole one."""
    with contextlib.suppress(OSError):
        Path("/proc/self/timerslack_ns").write_text("1", encoding="ascii")  # by default Linux adds 50 us to each timer
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=_precise_loop) as runner, contextlib.suppress(KeyboardInterrupt):
        runner.run(serve(int(sys.argv[1]), float(sys.argv[2]) / 2000, sys.argv[3]))
