"""Turning newcomers away before the door is closed, so that nobody stands in it.

Whoever connects is let in by the system, and waits in a queue until the process takes the connection. Closing the
listening socket resets those in the queue, and what they have sent is lost, which a proxy must not send again. So for a
moment before it no new connection is begun, and the queue runs empty. Who is turned away hears nothing, asks again a
second later by himself, finds the door closed, and goes elsewhere: a proxy to the next replica.
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

_HANDSHAKE: Final = 0.1  # seconds for those who have begun to connect: some round trips to a proxy nearby
_LONGEST: Final = 1.0  # seconds for the queue, on a machine that is too busy to let them in
_UNACKED: Final = 24  # where it stands in struct tcp_info (linux/tcp.h); of a listening socket it is who waits
_SO_ATTACH_FILTER = 26  # asm-generic/socket.h; Python has no name for it
# A classic BPF program (linux/filter.h), given each TCP segment from its header on. Bits of the byte of flags:
_SYN, _ACK = 0x02, 0x10
_PROGRAM = (
    (0x30, 0, 0, 13),  # ldb [13]
    (0x54, 0, 0, _SYN | _ACK),  # and #SYN|ACK
    (0x15, 0, 1, _SYN),  # jeq #SYN, next, one further
    (0x06, 0, 0, 0),  # ret 0: as if it had never arrived
    (0x06, 0, 0, 0xFFFFFFFF),  # ret all of it
)


async def empty_the_queue(listening: Sequence[int]) -> None:
    """Turn newcomers away from listening sockets, given by their numbers, and return once all others are in."""
    for door in listening:
        _turn_away(door)
    until = time.monotonic() + _LONGEST
    await asyncio.sleep(_HANDSHAKE)
    while any(map(_waiting, listening)) and time.monotonic() < until:  # noqa: ASYNC110  # only the system knows
        await asyncio.sleep(0.01)


def _turn_away(listening: int) -> None:
    """Let no further connection begin; those that have begun go on. Where the system can't do it, nothing changes."""
    program = b"".join(struct.pack("HBBI", *step) for step in _PROGRAM)
    held = ctypes.create_string_buffer(program)
    pointed = struct.pack("HP", len(_PROGRAM), ctypes.addressof(held))
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(listening)) as door:
        door.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointed)


def _waiting(listening: int) -> int:
    """Tell how many wait at a listening socket; 0 where the system has no such question, as macOS."""
    with contextlib.suppress(AttributeError, OSError), socket.socket(fileno=os.dup(listening)) as door:
        return int.from_bytes(
            door.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _UNACKED + 4)[_UNACKED:], sys.byteorder
        )
    return 0
