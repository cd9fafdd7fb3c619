"""The control socket: a Unix socket for the operator's commands. Whoever may open it is the operator.

The kernel checks its mode, 0600. No header makes a request the operator's: only the server of this socket does.
"""

import os
import socket
from pathlib import Path
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

IS_OPERATOR: Final = "is_operator"
"""The key in the state of a request that came through the control socket."""
_FIX: Final = "set CONTROL_SOCKET to a path in a folder of this user"


class ControlSocketError(Exception):
    """The control socket can't be opened. The text names the reason and the fix."""


class OperatorRequests:
    """ASGI middleware of the control socket's server: marks every request as the operator's, from this machine."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Mark a request and pass it on."""
        scope["client"] = ("127.0.0.1", 0)
        scope.setdefault("state", {})[IS_OPERATOR] = True
        await self._app(scope, receive, send)


def listen(path: Path) -> socket.socket:
    """Return a listening Unix socket with the mode 0600. Replaces the one that a process left behind.

    Raises `ControlSocketError` if another process listens there, or if it can't be created.
    """
    listener = socket.socket(socket.AF_UNIX)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_stale(path)
        # With the umask the socket never has a wider mode, not even for a moment.
        umask = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(umask)
        listener.listen()
    except OSError as error:
        listener.close()
        # Too long a path (over 107 bytes) has a message, but no errno.
        reason = error.strerror or str(error)
        raise ControlSocketError(f"CONTROL_SOCKET: can't listen at {path}: {reason}: {_FIX}") from None
    except ControlSocketError:
        listener.close()
        raise
    return listener


def _remove_stale(path: Path) -> None:
    if not path.exists():
        return
    if not path.is_socket():
        raise ControlSocketError(f"CONTROL_SOCKET: {path} is no socket: remove it, or {_FIX}")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)  # otherwise a stopped process with a full backlog would block the start
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise ControlSocketError(
        f"CONTROL_SOCKET: another process listens at {path}: stop it, or set CONTROL_SOCKET to another path: each "
        "process needs its own"
    )
