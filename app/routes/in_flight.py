"""Idempotency keys of the requests that this process is accepting."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import ConflictError
from app.outbox.callback import RequestKey


class InFlightKeys:
    """The idempotency keys of requests that are being accepted, to refuse concurrent repetitions.

    A repetition with the `Idempotency-Key` header gets a 409 (draft-ietf-httpapi-idempotency-key-header). One with
    `request_id` waits for the first response, because a page that retries after a timeout can't use a 409. A
    repetition at another replica waits too, for the lock of its key. It then gets the first response.
    """

    def __init__(self) -> None:
        self._requests: Counter[RequestKey] = Counter()

    @contextmanager
    def track(self, key: RequestKey | None, *, refuse: bool) -> Iterator[None]:
        """Track a request for the duration of the block. With `refuse`, raise ConflictError if it is tracked already.

        A different request under the same key passes: admission decides about it. `key` may be None, for a request
        without an idempotency key.
        """
        if key is None:
            yield
            return
        if refuse and self._requests[key]:
            raise ConflictError(
                "request_in_flight",
                "The same request is being processed: send it again in a second to get its response.",
                retry_after=1,
            )
        self._requests[key] += 1
        try:
            yield
        finally:
            self._requests[key] -= 1
            if not self._requests[key]:
                del self._requests[key]
