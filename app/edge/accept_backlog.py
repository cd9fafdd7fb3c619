"""Drain the accept backlog before a listening socket is closed.

The kernel completes the handshake of a new connection and queues it until the process accepts it. Closing the socket
resets the queued connections. The requests in them are lost, and a proxy must not send those again.
So new SYNs are dropped for a moment first, and the backlog empties. Clients retransmit a SYN after 1 s and are then
refused, so a proxy goes to the next replica.
"""

import asyncio
import contextlib
import ctypes
import os
import socket
import struct
import sys
import time
from collections.abc import Sequence
from typing import Final

_HANDSHAKE: Final = 0.1  # seconds for handshakes that have begun: some round trips to a nearby proxy
_LONGEST: Final = 1.0  # seconds for the backlog, on a machine too busy to accept
_UNACKED: Final = 24  # offset of tcpi_unacked in struct tcp_info (linux/tcp.h): a listening socket's backlog
_SO_ATTACH_FILTER = 26  # asm-generic/socket.h; Python has no name for it
# A classic BPF program (linux/filter.h) that sees each TCP segment from its header on. Bits of the flags byte:
_SYN, _ACK = 0x02, 0x10
_PROGRAM = (
    (0x30, 0, 0, 13),  # ldb [13]
    (0x54, 0, 0, _SYN | _ACK),  # and #SYN|ACK
    (0x15, 0, 1, _SYN),  # jeq #SYN, next, skip one
    (0x06, 0, 0, 0),  # ret 0: drop the segment
    (0x06, 0, 0, 0xFFFFFFFF),  # ret -1: pass the whole segment
)


async def empty_the_queue(listening: Sequence[int]) -> None:
    """Drop new connections to listening sockets, and return when their backlogs are empty, after 1 s at most.

    `listening` are file descriptors.
    """
    for door in listening:
        _turn_away(door)
    until = time.monotonic() + _LONGEST
    await asyncio.sleep(_HANDSHAKE)
    while any(map(_waiting, listening)) and time.monotonic() < until:  # noqa: ASYNC110  # the kernel has no event for it
        await asyncio.sleep(0.01)


def _turn_away(listening: int) -> None:
    """Drop new SYNs; handshakes that have begun continue. Does nothing where the system has no socket filters."""
    program = b"".join(struct.pack("HBBI", *step) for step in _PROGRAM)
    held = ctypes.create_string_buffer(program)
    pointed = struct.pack("HP", len(_PROGRAM), ctypes.addressof(held))
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(listening)) as door:
        door.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointed)


def _waiting(listening: int) -> int:
    """Return the length of a listening socket's backlog, or 0 on systems without TCP_INFO, such as macOS."""
    with contextlib.suppress(AttributeError, OSError), socket.socket(fileno=os.dup(listening)) as door:
        return int.from_bytes(
            door.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _UNACKED + 4)[_UNACKED:], sys.byteorder
        )
    return 0
