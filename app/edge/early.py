"""An answer that comes before the body of its request has come: it says that it is the last one on its connection."""

from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send


def answering_early(app: ASGIApp, cycle: Any, end_reading: Callable[[], None]) -> Any:
    """Wrap the application for a request whose body is under way: ``cycle`` is uvicorn's, and knows of the body.

    Without that word the client might send its next request at the moment when the connection ends. ``end_reading`` is
    called when such an answer begins.
    """

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            is_last = message["type"] == "http.response.start" and cycle.more_body
            if is_last:
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
                end_reading()
            await send(message)
            if is_last:
                # uvicorn would close at once, and the body on its way would take the answer with it.
                cycle.keep_alive = True

        await app(scope, receive, sending)

    return answering
