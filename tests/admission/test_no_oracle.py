"""A stranger learns nothing about a number: not by counting, not by statuses, not by an address, not by the work."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from tests.admission.world import (
    NOW,
    OPEN,
    Shop,
    World,
    assert_refused,
    comparable,
    moscow,
    office,
    world,
)
from tests.running import phone, until

OFFSETS = (0, 1, 2, 2.9, 3, 5, 20, 59, 61, 120, 3600)
"""Seconds after its request at which a stranger looks at the status."""


def timeline(here: World, callback_id: str) -> list[str]:
    """Return the public statuses of a callback at each of the offsets."""
    start, seen = here.clock.now, []
    for seconds in OFFSETS:
        here.at(start + timedelta(seconds=seconds))
        here.settle()
        shown = here.shown(callback_id)
        assert shown.keys() == {"id", "status", "call_expected_at"}
        assert shown["id"] == callback_id
        seen.append(str(shown["status"]))
    return seen


@pytest.mark.parametrize("asked", [0, 1, 2, 3])
@pytest.mark.parametrize("kind", ["honeypot", "planned", "other site"])
def test_counting_tells_nothing_about_how_often_a_number_was_asked_for(
    migrated_url: str, kind: str, asked: int
) -> None:
    """What a stranger may count rings nobody; a plain request meets the cap, which is the one exception."""
    known, unknown = phone(), phone()
    shops = dict.fromkeys(("shop", "a", "b", "c"), OPEN)
    with world(migrated_url, shops) as here:
        for site in ("a", "b", "c")[:asked]:
            here.accepted(known, site=site)
        here.later(minutes=2)
        answers: dict[str, list[dict[str, Any]]] = {known: [], unknown: []}
        for step in range(12):
            for number, seen in answers.items():
                fields: dict[str, Any] = {"website": "x"}
                if kind == "planned":
                    fields["planned_time"] = (here.clock.now + timedelta(minutes=30 + step)).isoformat()
                if kind == "other site":
                    fields["site"] = "c" if step % 2 else "a"
                seen.append(comparable(here.ask(number, **fields)))
        assert {answer["status"] for answer in answers[unknown]} == {202}
        assert answers[known] == answers[unknown]
        assert here.rings(unknown) == []
        assert len(here.rings(known)) == asked


def _answers_at_once(_: World) -> None:
    pass


def _is_slow(here: World) -> None:
    here.far_side.fault("slow", seconds=0.1, times=None)


def _refuses(here: World) -> None:
    here.far_side.fault("status", status=404, times=None)


def _loses_answers(here: World) -> None:
    here.far_side.fault("reset_after", times=None)


def _says_no_with_200(here: World) -> None:
    here.far_side.fault("status", status=200, body='{"status": false}', times=None)


@pytest.mark.parametrize("chaser", [_answers_at_once, _is_slow, _refuses, _loses_answers, _says_no_with_200])
@pytest.mark.parametrize("earlier", [1, 15, 50], ids=lambda seconds: f"{seconds} s earlier")
def test_a_merged_request_shows_the_same_statuses_as_a_new_one(
    migrated_url: str, chaser: Callable[[World], None], earlier: int
) -> None:
    known, unknown = phone(), phone()
    with world(migrated_url, on_unknown="hold") as here:
        chaser(here)
        here.accepted(known)
        here.later(seconds=earlier)
        merged, new = here.ask(known), here.ask(unknown)
        assert comparable(merged) == comparable(new)
        start = here.clock.now
        statuses = timeline(here, merged.json()["id"])
        here.clock.now = start
        assert statuses == timeline(here, new.json()["id"])
        assert set(statuses[:4]) == {"queued"}
        assert len(set(statuses[4:])) == 1
        assert statuses[-1] in ("placed", "failed", "unknown")


@pytest.mark.parametrize(
    ("shop", "now"),
    [
        pytest.param(office(9), moscow(22, 22), id="at night"),
        pytest.param(Shop(9, 18, range(5), settings={"nwt_action": "create_leed"}), moscow(22, 22), id="a lead"),
        pytest.param(Shop(hours_known=False), NOW, id="hours unknown"),
        pytest.param(office(9), moscow(23, 17, 59, 20), id="just before closing"),
    ],
)
def test_at_any_hour_a_merged_request_is_like_a_new_one(migrated_url: str, shop: Shop, now: Any) -> None:
    known, unknown = phone(), phone()
    with world(migrated_url, {"shop": shop}, now=now) as here:
        here.accepted(known)
        here.later(seconds=20)
        merged, new = here.ask(known), here.ask(unknown)
        assert comparable(merged) == comparable(new)
        start = here.clock.now
        statuses = timeline(here, merged.json()["id"])
        here.clock.now = start
        assert statuses == timeline(here, new.json()["id"])
        assert statuses == ["queued"] * 4 + ["placed"] * 7


@pytest.mark.parametrize(("took", "first"), [(0, 3), (10, 10), (40, 40), (59, 59), (300, 60), (3600, 60)])
def test_a_duplicate_shows_queued_as_long_as_its_original_took(migrated_url: str, took: int, first: int) -> None:
    number = phone()
    with world(migrated_url, retry_schedule="1s", give_up_after="1d") as here:
        if took:
            here.far_side.fault("status", status=429, times=None)
        here.accepted(number)
        here.later(seconds=took)
        here.settle()
        here.far_side.clear_faults()
        here.accepted(number)  # makes it due now
        here.settle()
        here.later(seconds=5)
        duplicate = here.accepted(number)
        start = here.clock.now
        for seconds, status in ((first - 0.5, "queued"), (first + 0.5, "placed"), (3600, "placed")):
            here.at(start + timedelta(seconds=seconds))
            assert here.shown(duplicate)["status"] == status
        assert len(here.rings(number)) == 1


def test_the_first_three_seconds_are_queued_for_everybody(migrated_url: str) -> None:
    with world(migrated_url) as here:
        for fields in ({}, {"website": "x"}):
            callback_id = here.accepted(phone(), **fields)
            here.settle()
            assert timeline(here, callback_id)[:4] == ["queued"] * 4
            here.later(minutes=1)


@pytest.mark.parametrize("fields", [{}, {"website": "x"}], ids=["queued", "held"])
def test_a_cancelled_callback_is_shown_as_failed(migrated_url: str, fields: dict[str, str]) -> None:
    number = phone()
    with world(migrated_url) as here:
        here.not_sent()
        callback_id = here.accepted(number, **fields)
        duplicate = here.accepted(number, **fields)
        here.settle()
        assert here.act(callback_id, "cancel").status_code == 200
        here.later(minutes=2)
        assert here.shown(callback_id)["status"] == here.shown(duplicate)["status"] == "failed"
        assert here.stored(callback_id)["status"] == "cancelled"


def test_a_call_under_way_is_shown_as_queued(migrated_url: str) -> None:
    number = phone()
    with world(migrated_url) as here:
        here.far_side.fault("hang_before", seconds=2)
        callback_id = here.accepted(number)
        until(lambda: here.stored(callback_id)["status"] == "sending")
        here.clock.advance(seconds=10)
        assert here.shown(callback_id)["status"] == "queued"
        duplicate = here.accepted(number)
        here.clock.advance(seconds=10)
        assert here.shown(duplicate)["status"] == "queued"


def test_the_cap_is_told_in_the_same_words_however_often_a_number_was_asked_for(migrated_url: str) -> None:
    with world(migrated_url, quotas={"per_phone": "1/hour"}) as here:
        texts = set()
        for requests, minutes in ((1, 5), (1, 55), (3, 20), (9, 30)):
            number = phone()
            for _ in range(requests):
                here.accepted(number)
            here.later(minutes=minutes)
            refused = here.ask(number)
            assert_refused(refused, "quota_phone")
            texts.add(refused.json()["detail"])
        assert len(texts) == 1


@contextmanager
def counted() -> Iterator[list[list[str]]]:
    """Collect the statements of each transaction in this process, as a list for each, once it ends."""
    done: list[list[str]] = []
    open_ones: dict[Connection, list[str]] = {}

    def executed(connection: Connection, _: Any, statement: str, *__: Any) -> None:
        open_ones.setdefault(connection, []).append(statement)

    def ended(connection: Connection) -> None:
        done.append(open_ones.pop(connection, []))

    events = (("before_cursor_execute", executed), ("commit", ended), ("rollback", ended))
    for name, listener in events:
        event.listen(Engine, name, listener)
    try:
        yield done
    finally:
        for name, listener in events:
            event.remove(Engine, name, listener)


def statements_of(transactions: list[list[str]]) -> list[int]:
    """Return the number of statements of each transaction that read a public status, and not of maintenance."""
    return [len(one) for one in transactions if any("AS original" in statement for statement in one)]


@pytest.mark.parametrize("fields", [{}, {"website": "x"}, {"request_id": "k"}], ids=["plain", "held", "with a key"])
@pytest.mark.parametrize("earlier", ["none", "placed", "planned", "held", "merged"])
def test_the_work_for_a_request_is_the_same_for_each_number(
    migrated_url: str, earlier: str, fields: dict[str, str]
) -> None:
    known, unknown = phone(), phone()
    with world(migrated_url, poll_interval=3600) as here:
        match earlier:
            case "placed":
                here.accepted(known)
            case "planned":
                here.accepted(known, planned_time=(NOW + timedelta(seconds=40)).isoformat())
            case "held":
                here.accepted(known, website="x")
            case "merged":
                here.accepted(known)
                here.accepted(known)
        here.accepted(phone())
        here.settle()
        here.clock.advance(seconds=20)
        counts, looks = {}, {}
        for name, number in (("known", known), ("unknown", unknown)):
            with counted() as transactions:
                answer = here.ask(number, **fields)
                here.settle()
            accepting = [one for one in transactions if any("INSERT INTO callbacks" in text for text in one)]
            assert len(accepting) == 1
            counts[name] = len(accepting[0])
            here.clock.advance(seconds=5)
            with counted() as transactions:
                here.shown(answer.json()["id"])
            looks[name] = statements_of(transactions)
        assert counts["known"] == counts["unknown"] <= 14
        assert looks["known"] == looks["unknown"]
