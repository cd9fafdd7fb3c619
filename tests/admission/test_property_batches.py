"""Properties over random days: a batch decides like batches of one, and like a naive reading of the rules."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from sqlalchemy import Connection, select

from app.admission.admission_request import AdmissionConfig, AdmissionRequest, Decision
from app.admission.batch import admit_batch
from app.outbox.schema import attempts, callbacks, request_keys, used_challenges
from tests.admission.deciding import result
from tests.admission.naive_rules import Expected, NaiveRules
from tests.admission.random_days import Day, Step, days
from tests.outbox.factories import InspectableOutbox


@pytest.fixture(scope="module")
def outboxes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[InspectableOutbox, InspectableOutbox]]:
    folder = tmp_path_factory.mktemp("days")
    both = [InspectableOutbox.open(f"sqlite:///{folder}/{name}.db") for name in ("batches", "singles")]
    yield both[0], both[1]
    for one in both:
        one.close()


def one_by_one(connection: Connection, requests: Sequence[AdmissionRequest], config: AdmissionConfig) -> list[Decision]:
    """Admit each request of a batch in a batch of its own."""
    return [decision for one in requests for decision in admit_batch(connection, [one], config)]


def comparable(decision: Decision) -> tuple[Any, ...]:
    """Return a decision without its warnings, which count the rings up to the last request of a batch."""
    answer = decision.answer
    code = (getattr(answer, "code", None), getattr(answer, "retry_after", None))
    return (code if code[0] else answer, decision.admitted, decision.merge)


def rows(outbox: InspectableOutbox) -> list[Any]:
    # Deadlines differ by the milliseconds between the requests of a batch.
    left_out = ("give_up_at", "expires_at")
    tables = (
        select(*(column for column in table.c if column.name not in left_out))
        for table in (callbacks, attempts, request_keys, used_challenges)
    )
    with outbox.database.reading.begin() as connection:
        return [sorted(map(tuple, connection.execute(table)), key=repr) for table in tables]


@settings(max_examples=150)
@given(steps=days)
def test_a_batch_decides_like_batches_of_one(
    outboxes: tuple[InspectableOutbox, InspectableOutbox], steps: list[Step]
) -> None:
    requests: dict[int, list[AdmissionRequest]] = {}
    together, singly = Day(outboxes[0]), Day(outboxes[1], one_by_one)
    for day in (together, singly):
        day.play(steps, requests)
    assert list(map(comparable, together.decisions)) == list(map(comparable, singly.decisions))
    assert rows(outboxes[0]) == rows(outboxes[1])


def compared(connection: Connection, requests: Sequence[AdmissionRequest], config: AdmissionConfig) -> list[Decision]:
    """Admit requests one by one, and compare what becomes of each with the naive rules."""
    decisions = []
    for one in requests:
        expected = NaiveRules(connection, config).decide(one)
        (decision,) = admit_batch(connection, [one], config)
        admitted, merge = decision.admitted, decision.merge
        found = Expected(
            result(decision),
            admitted and admitted.duplicate_of,
            admitted and admitted.again_of,
            merge and merge.due_at,
        )
        assert found == expected
        decisions.append(decision)
    return decisions


@settings(max_examples=150)
@given(steps=days)
def test_a_request_is_decided_as_a_naive_reading_of_all_rows_decides_it(
    outboxes: tuple[InspectableOutbox, InspectableOutbox], steps: list[Step]
) -> None:
    Day(outboxes[0], compared).play(steps, {})
