"""The same request again while the first one is being accepted."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import event

from app.outbox.database import Database
from app.outbox.group_commit import BatchWork
from tests.outbox.factories import InspectableOutbox
from tests.routes.refusal import assert_refused
from tests.running import AUTHORIZED, ORIGIN, phone, service, settings, until

T = TypeVar("T")
Item = TypeVar("Item")


class CountingOutbox(InspectableOutbox):
    """An outbox that counts the requests that are being accepted."""

    def __init__(self, database: Database, **limits: float) -> None:
        super().__init__(database, **limits)
        self.accepting = 0

    async def write_batched(self, batch: BatchWork[Item, T], item: Item) -> T:
        self.accepting += 1
        try:
            return await super().write_batched(batch, item)
        finally:
            self.accepting -= 1


@contextmanager
def blocked_writes(outbox: InspectableOutbox) -> Iterator[None]:
    """Block all writes until the end of the block."""
    ended = threading.Event()

    def wait(_connection: object) -> None:
        ended.wait(60)

    event.listen(outbox.database.writing, "begin", wait)
    try:
        yield
    finally:
        ended.set()


def test_a_concurrent_repetition_with_the_header_is_refused_and_one_with_request_id_waits(tmp_path: Path) -> None:
    outbox = CountingOutbox.open(f"sqlite:///{tmp_path}/callbacks.db")
    number = phone()
    keyed = AUTHORIZED | {"idempotency-key": "lead-1"}
    with service(settings(tmp_path), outbox=outbox) as here, ThreadPoolExecutor(2) as others:
        with blocked_writes(outbox):
            first = others.submit(here.ask, keyed, client_phone=number)
            until(lambda: outbox.accepting == 1)
            answer = here.ask(keyed, client_phone=number)
            assert_refused(answer, 409, "request_in_flight")
            assert here.ask({"origin": ORIGIN}, client_phone="112").status_code == 422  # other requests are not blocked
            waits = others.submit(here.ask, AUTHORIZED, client_phone=number, request_id="lead-1")
            until(lambda: outbox.accepting == 2)
        answers = [first.result(), waits.result(), here.ask(keyed, client_phone=number)]
        assert [each.status_code for each in answers] == [202] * 3
        assert len({each.json()["id"] for each in answers}) == 1
        assert [each.headers.get("idempotency-replayed") for each in answers] == [None, "true", "true"]
        assert_refused(here.ask(keyed, client_phone=phone()), 422, "request_id_reused")
