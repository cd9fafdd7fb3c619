"""The same request while the first one is being worked on."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from app.outbox.outbox import Outbox
from tests.routes.refusal import assert_refused
from tests.running import AUTHORIZED, ORIGIN, phone, service, settings, until


@contextmanager
def writing_nothing(outbox: Outbox) -> Iterator[None]:
    """Keep what is written waiting, by a transaction that takes its time."""
    begun, ended = threading.Event(), threading.Event()

    def wait(_connection: object) -> None:
        begun.set()
        ended.wait(60)

    thread = threading.Thread(target=lambda: asyncio.run(outbox._writer.run(wait, alone=True)))
    thread.start()
    try:
        assert begun.wait(60)
        yield
    finally:
        ended.set()
        thread.join()


def accepting(outbox: Outbox) -> int:
    """Count the requests that wait to be written: of all work only accepting takes the lock first."""
    return sum(job is not None and job.first is not None for job in list(outbox._writer._jobs.queue))


def test_whoever_sends_the_header_is_told_and_whoever_sends_request_id_waits(tmp_path: Path) -> None:
    outbox = Outbox.open(f"sqlite:///{tmp_path}/callbacks.db")
    number = phone()
    keyed = AUTHORIZED | {"idempotency-key": "lead-1"}
    with service(settings(tmp_path), outbox=outbox) as here, ThreadPoolExecutor(2) as others:
        with writing_nothing(outbox):
            first = others.submit(here.ask, keyed, client_phone=number)
            until(lambda: accepting(outbox) == 1)
            answer = here.ask(keyed, client_phone=number)
            assert_refused(answer, 409, "request_in_flight")
            assert here.ask({"origin": ORIGIN}, client_phone="112").status_code == 422  # others are not held up
            waits = others.submit(here.ask, AUTHORIZED, client_phone=number, request_id="lead-1")
            until(lambda: accepting(outbox) == 2)
        answers = [first.result(), waits.result(), here.ask(keyed, client_phone=number)]
        assert [each.status_code for each in answers] == [202] * 3
        assert len({each.json()["id"] for each in answers}) == 1
        assert [each.headers.get("idempotency-replayed") for each in answers] == [None, "true", "true"]
        assert_refused(here.ask(keyed, client_phone=phone()), 422, "request_id_reused")
