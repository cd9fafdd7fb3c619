"""Close the connection after a response that precedes the end of its request's body, such as a 413."""

from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send


def close_after_early_response(app: ASGIApp, cycle: Any, end_reading: Callable[[], None]) -> Any:
    """Return the application, wrapped for a request whose body is still arriving.

    A response that starts before the body is complete gets `Connection: close`. Without that header the client could
    send its next request just as the connection closes. `cycle` is uvicorn's request cycle, which knows the body's
    state. `end_reading` is called when such a response starts.
    """

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            is_last = message["type"] == "http.response.start" and cycle.more_body
            if is_last:
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
                end_reading()
            await send(message)
            if is_last:
                # Otherwise uvicorn closes at once; the arriving body would reset the connection and lose the response.
                cycle.keep_alive = True

        await app(scope, receive, sending)

    return answering
