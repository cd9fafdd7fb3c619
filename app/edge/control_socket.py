"""The control socket: a Unix socket for the operator's commands. Whoever may open it is the operator.

The kernel checks its mode, 0600. No header makes a request the operator's: only the server of this socket does.
"""

import errno
import os
import socket
from pathlib import Path
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

IS_OPERATOR: Final = "is_operator"
"""The key in the state of a request that came through the control socket."""


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
    """Return a listening Unix socket with the mode 0600. Replaces one that a process left behind. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.is_socket():
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)  # otherwise a stopped process with a full backlog would block the start
            is_stale = probe.connect_ex(str(path)) == errno.ECONNREFUSED
        if is_stale:
            path.unlink()
    listener = socket.socket(socket.AF_UNIX)
    umask = os.umask(0o177)  # so that the socket never has a wider mode, not even for a moment
    try:
        listener.bind(str(path))
        listener.listen()
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(umask)
    return listener
