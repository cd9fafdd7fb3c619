"""The request keys that are being worked on in this process."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import ConflictError
from app.outbox.callback import RequestKey


class InFlightKeys:
    """Tells whether the same request is being accepted this moment.

    Whoever sends the header Idempotency-Key is told so by a 409, as draft-ietf-httpapi-idempotency-key-header has it.
    Whoever sends request_id waits for the answer of the first: a page that asks again after a timeout has no use for a
    refusal. In another replica the second one waits as well, since one accepts at a time; it then gets the same answer.
    """

    def __init__(self) -> None:
        self._requests: Counter[RequestKey] = Counter()

    @contextmanager
    def track(self, key: RequestKey | None, *, refuse: bool) -> Iterator[None]:
        """Work on a request. ``refuse``: raise ConflictError when the same is under way already.

        Another request under that key is let through, to be told what is wrong with it.
        """
        if key is None:
            yield
            return
        if refuse and self._requests[key]:
            raise ConflictError(
                "request_in_flight",
                "The same request is being worked on: send it again in a second, and you get its answer.",
                retry_after=1,
            )
        self._requests[key] += 1
        try:
            yield
        finally:
            self._requests[key] -= 1
            if not self._requests[key]:
                del self._requests[key]
