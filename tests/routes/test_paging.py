"""Paging while callbacks are added and changed: each existing callback is listed exactly once."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert, update

from app.intake.build_callback import new_id
from app.outbox.schema import callbacks
from tests.outbox.factories import NOW, InspectableOutbox, callback
from tests.running import AUTHORIZED, Service, service, settings

EXISTING, ADDED, CHANGED, LIMIT, BATCH = 10_000, 1_000, 1_000, 500, 50


def rows(count: int, **common: Any) -> list[dict[str, Any]]:
    template = callback().columns()  # made once: it takes as long as writing a row
    template |= {"status": "placed", "due_at": None, "updated_at": NOW} | common
    times = [NOW + timedelta(seconds=n // 10) for n in range(count)]
    return [
        template | {"id": new_id(created_at), "created_at": created_at, "client_phone": f"7916{n:07}"}
        for n, created_at in enumerate(times)
    ]


class ConcurrentWriter:
    """Adds and changes a batch of callbacks at each step, in its own thread, with the connection that writes."""

    def __init__(self, outbox: InspectableOutbox, existing: list[str]) -> None:
        self._engine = outbox.database.writing
        self._added = [rows(BATCH, status="failed") for _ in range(ADDED // BATCH)]
        # Each batch is spread over the list: pages that were read, and pages still to come.
        self._changed = [existing[n :: EXISTING // BATCH] for n in range(CHANGED // BATCH)]
        self._steps = threading.Semaphore(0)
        self.done = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def step(self) -> None:
        self._steps.release()

    def end(self) -> None:
        self._steps.release(ADDED // BATCH)
        self._thread.join()

    def _run(self) -> None:
        for added, changed in zip(self._added, self._changed, strict=True):
            self._steps.acquire()
            values = {"status": "cancelled", "updated_at": NOW}
            with self._engine.begin() as connection:
                connection.execute(insert(callbacks), added)
                connection.execute(update(callbacks).where(callbacks.c.id.in_(changed)).values(values))
            self.done += 1


def pages(here: Service) -> Iterator[list[str]]:
    cursor = ""
    while cursor is not None:
        parameters = {"limit": str(LIMIT), "cursor": cursor}
        answer = here.http.get("/v1/callbacks", params=parameters, headers=AUTHORIZED)
        assert answer.status_code == 200, answer.text
        cursor = answer.json()["next_cursor"]
        yield [each["id"] for each in answer.json()["callbacks"]]


def test_each_existing_callback_is_listed_exactly_once(tmp_path: Path, database_url: str) -> None:
    outbox = InspectableOutbox.open(database_url)
    existing_rows = rows(EXISTING)
    existing = [row["id"] for row in existing_rows]
    with outbox.database.writing.begin() as connection:
        connection.execute(insert(callbacks), existing_rows)
    with service(settings(tmp_path), outbox=outbox) as here:
        writer, listed, steps = ConcurrentWriter(outbox, existing), [], set()
        for page in pages(here):
            listed += page
            steps.add(writer.done)
            writer.step()
        writer.end()
    assert writer.done == ADDED // BATCH
    assert len(steps) > 5, "nothing was written between the pages"
    assert len(listed) == len(set(listed))
    assert set(listed) >= set(existing)
    assert [each for each in listed if each in set(existing)] == sorted(existing, reverse=True)
