"""What version 0.1.0 answered stays true after the upgrade: ids, request keys, and each call rings once."""

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from tests.outbox.queue_of_0_1 import LATER, NOW, TOMORROW, Queue, make_queue, phone_of
from tests.running import AT_ONCE, AUTHORIZED, Clock, chaser, service, settings, until

SOON = LATER + timedelta(seconds=10)
"""Later than the first seconds in which every callback is shown as queued, and still within all deadlines."""


@pytest.fixture
def queue(database_url: str) -> Queue:
    return make_queue(database_url)


def test_ids_of_merged_requests_go_on_answering(tmp_path: Path, database_url: str, queue: Queue) -> None:
    with service(settings(tmp_path, database_url=database_url), clock=Clock(SOON)) as here:
        told = {name: here.http.get(f"/v1/callbacks/{alias}").json() for name, alias in queue.aliases.items()}
    expected = {
        "first visitor": ("queued", NOW),
        "second visitor": ("queued", NOW),
        "of tomorrow": ("placed", TOMORROW + timedelta(minutes=5)),
        "of the planned": ("queued", TOMORROW.replace(microsecond=0)),
        "no time promised": ("queued", None),
        "of the key's": ("queued", NOW),
        "of the placed": ("placed", NOW),
        "of an early version": ("failed", NOW),
    }
    for name, (status, expected_at) in expected.items():
        at = expected_at and expected_at.isoformat().replace("+00:00", "Z")
        answer = {"id": queue.aliases[name], "status": status, "call_expected_at": at}
        assert told[name].items() >= answer.items(), name
    assert told["of the erased"]["status"] == 404


def test_ids_are_unknown_after_seven_days(tmp_path: Path, database_url: str, queue: Queue) -> None:
    late = Clock(LATER + timedelta(days=7, minutes=1))
    with service(settings(tmp_path, database_url=database_url), clock=late) as here:
        for callback_id in (queue.ids["placed"], *queue.aliases.values()):
            assert here.http.get(f"/v1/callbacks/{callback_id}").status_code == 404


def test_request_keys_replay_by_site_and_phone(tmp_path: Path, database_url: str, queue: Queue) -> None:
    with service(settings(tmp_path, database_url=database_url), clock=Clock(SOON)) as here:
        number = phone_of("queued")
        for key, callback_id in (("1", queue.ids["queued"]), ("2", queue.aliases["first visitor"])):
            again = here.ask(client_phone=number, request_id=key)
            assert (again.status_code, again.json()["id"]) == (202, callback_id)
            assert again.headers["idempotency-replayed"] == "true"
        with_key = here.ask(AUTHORIZED, client_phone=phone_of("of a key"), request_id="1")
        assert with_key.json()["id"] == queue.ids["of a key"]
        # Another visitor may have chosen the same key. They must not learn of the first request.
        other = here.ask(client_phone="79169999999", request_id="1")
        assert other.status_code == 202
        assert other.json()["id"] not in {*queue.ids.values(), *queue.aliases.values()}
        assert "idempotency-replayed" not in other.headers


def test_what_was_due_rings_once_and_nothing_else_rings(tmp_path: Path, database_url: str, queue: Queue) -> None:
    clock = Clock(SOON)
    with chaser() as far_side:
        chosen = settings(tmp_path, far_side.api_url, database_url=database_url)
        with service(chosen, clock=clock, poll_interval=AT_ONCE) as here:
            due = {"queued", "retry wait", "planned", "hours unknown", "resend due", "of a key", "of ipv6"}
            assert {queue.ids[name] for name in due} == queue.due
            until(lambda: len(far_side.requests(method="POST")) >= len(due))
            # The process that was sending this one is gone. The call may have rung, so it is sent again once.
            clock.advance(minutes=10)
            until(lambda: len(far_side.requests(method="POST")) > len(due))
            clock.advance(minutes=10)
            here.wait_for(queue.ids["sending"], "placed")
        rung = Counter(call["params"]["client_phone"] for call in far_side.calls())
    assert rung == dict.fromkeys((phone_of(name) for name in (*due, "sending")), 1)
