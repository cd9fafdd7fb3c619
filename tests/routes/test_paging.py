"""A client reads page after page while callbacks are added and change: each old one comes exactly once."""

import threading
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert, update

from app.intake.build_callback import new_id
from app.outbox.schema import callbacks
from tests.outbox.factories import NOW, InspectableOutbox, callback
from tests.running import AUTHORIZED, Service, service, settings

OLD, ADDED, CHANGED, LIMIT, EACH = 10_000, 1_000, 1_000, 500, 50


def rows(count: int, **same: Any) -> list[dict[str, Any]]:
    alike = asdict(callback())  # once: it takes as long as writing a row
    alike.pop("hold")
    alike |= {"status": "placed", "due_at": None, "updated_at": NOW} | same
    times = [NOW + timedelta(seconds=n // 10) for n in range(count)]
    return [
        alike | {"id": new_id(asked_at), "created_at": asked_at, "client_phone": f"7916{n:07}"}
        for n, asked_at in enumerate(times)
    ]


class Writing:
    """Adds and changes some callbacks with each step, in a thread of its own and by the one connection that writes."""

    def __init__(self, outbox: InspectableOutbox, old: list[str]) -> None:
        self._engine = outbox.database.writing
        self._added = [rows(EACH, status="failed") for _ in range(ADDED // EACH)]
        # All over the list: what is read already, and what is yet to come.
        self._changed = [old[n :: OLD // EACH] for n in range(CHANGED // EACH)]
        self._steps = threading.Semaphore(0)
        self.done = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def step(self) -> None:
        self._steps.release()

    def end(self) -> None:
        self._steps.release(ADDED // EACH)
        self._thread.join()

    def _run(self) -> None:
        for added, changed in zip(self._added, self._changed, strict=True):
            self._steps.acquire()
            # The clock was set back as well: some of them are moved.
            moved = {"status": "cancelled", "updated_at": NOW, "created_at": NOW - timedelta(days=1)}
            with self._engine.begin() as connection:
                connection.execute(insert(callbacks), added)
                connection.execute(update(callbacks).where(callbacks.c.id.in_(changed)).values(moved))
            self.done += 1


def pages(here: Service) -> Iterator[list[str]]:
    cursor = ""
    while cursor is not None:
        parameters = {"limit": str(LIMIT), "cursor": cursor}
        answer = here.http.get("/v1/callbacks", params=parameters, headers=AUTHORIZED)
        assert answer.status_code == 200, answer.text
        cursor = answer.json()["next_cursor"]
        yield [each["id"] for each in answer.json()["callbacks"]]


def test_each_old_callback_comes_exactly_once(tmp_path: Path, database_url: str) -> None:
    outbox = InspectableOutbox.open(database_url)
    made = rows(OLD)
    old = [row["id"] for row in made]
    with outbox.database.writing.begin() as connection:
        connection.execute(insert(callbacks), made)
    with service(settings(tmp_path), outbox=outbox) as here:
        writing, seen, during = Writing(outbox, old), [], set()
        for page in pages(here):
            seen += page
            during.add(writing.done)
            writing.step()
        writing.end()
    assert writing.done == ADDED // EACH
    assert len(during) > 5, "it was not written while it was read"
    assert len(seen) == len(set(seen))
    assert set(seen) >= set(old)
    assert [each for each in seen if each in set(old)] == sorted(old, reverse=True)
