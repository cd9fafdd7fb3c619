"""No response reveals whether a phone was requested before: neither its content nor the work behind it differs."""

import statistics
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx2
import pytest
from sqlalchemy import Connection, Engine, event

from tests.faults.doses import note
from tests.routes.refusal import assert_cors, assert_protected
from tests.running import ORIGIN, Clock, Service, phone, service, settings, until
from tests.solving import solve

VICTIM, ATTACKER = "203.0.113.1", "198.51.100.1"
PAGE = {"origin": ORIGIN, "x-forwarded-for": ATTACKER}
SITES = {
    "shop": {},
    "guarded": {"site_id": 1, "origins": [ORIGIN], "challenge": "on"},
    "client": {"site_id": 1, "origins": [ORIGIN], "quotas": {"per_address": "1/hour"}},
    "phones": {"site_id": 1, "origins": [ORIGIN], "quotas": {"per_address_phones": "1/hour"}},
    "spent": {"site_id": 1, "origins": [ORIGIN], "quotas": {"per_site": "2/hour"}},
    "full": {"site_id": 1, "origins": [ORIGIN], "quotas": {"per_site": "2/hour", "held_per_site": "1/hour"}},
}
MOST_STATEMENTS = 12  # of an accepted request, besides BEGIN and COMMIT
ROUNDS = 7
"""Background queries add to the count of a request, so the minimum of several rounds is compared."""


class Case(NamedTuple):
    """A request of the attacker: the expected response for any phone, and its special site, headers or fields.

    `before`: how many requests the attacker sends first, to use up a quota or a challenge.
    """

    status: int
    code: str | None
    site: str = "shop"
    headers: dict[str, str] = PAGE
    fields: dict[str, Any] = {}  # noqa: RUF012  never mutated
    before: int = 0


CASES = [
    Case(202, None),
    Case(202, None, "spent", before=1),
    Case(202, None, fields={"website": "filled in"}),
    Case(403, "origin_missing", headers={"x-forwarded-for": ATTACKER}),
    Case(403, "origin_not_allowed", headers=PAGE | {"origin": "https://evil.example"}),
    Case(403, "challenge_missing", "guarded"),
    Case(403, "challenge_wrong", "guarded", fields={"challenge": "e30="}),
    Case(409, "challenge_used", "guarded", before=1),
    Case(422, "invalid", fields={"department": "none"}),
    Case(429, "quota_client", "client", before=1),
    Case(429, "quota_client_phones", "phones", before=1),
    Case(429, "quota_site", "full", before=2),
]


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[Service]:
    chosen = settings(tmp_path_factory.mktemp("privacy"), sites=SITES, trusted_proxies=["127.0.0.1"])
    with service(chosen, clock=clock) as running:
        yield running


class Statements:
    """Counts the SQL statements of this process: `all`, and `admitting` those of transactions that store a request.

    The worker begins to send an accepted request at once, so its statements mix with those of the next request.
    """

    def __init__(self) -> None:
        self.all = 0
        self.admitting = 0

    def begin(self, connection: Connection) -> None:
        connection.info.update(statements=0, admits=False)

    def count(self, connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        self.all += 1
        if "statements" in connection.info:
            connection.info["statements"] += 1
            connection.info["admits"] |= statement.startswith("INSERT INTO request_keys")

    def finish(self, connection: Connection) -> None:
        if connection.info.get("admits"):
            self.admitting += connection.info["statements"]


@pytest.fixture
def statements() -> Iterator[Statements]:
    counted = Statements()
    listeners = {"begin": counted.begin, "before_cursor_execute": counted.count, "commit": counted.finish}
    for name, listener in listeners.items():
        event.listen(Engine, name, listener)
    yield counted
    for name, listener in listeners.items():
        event.remove(Engine, name, listener)


def solved(here: Service, clock: Clock, site: str) -> dict[str, str]:
    """Return the field with a solved challenge, if the site requires one."""
    if site != "guarded":
        return {}
    work = solve(here.http, site)
    clock.advance(seconds=5)
    return {"challenge": work}


def requested_by_victim(here: Service, clock: Clock, site: str) -> str:
    """Return a phone that the victim has requested a call for."""
    number = phone()
    by_victim = {"origin": ORIGIN, "x-forwarded-for": VICTIM}
    answer = here.ask(by_victim, site=site, client_phone=number, **solved(here, clock, site))
    assert answer.status_code == 202
    callback_id = answer.json()["id"]
    # An attempt that ends later would share the transaction of the attacker's request.
    until(lambda: (here.status(callback_id) == "held") or here.shown(callback_id)["reason"] == "not_sent")
    return number


def counted(statements: Statements, case: Case) -> int:
    return statements.all if case.code else statements.admitting


def comparable(answer: httpx2.Response) -> dict[str, Any]:
    """Return a response without the parts that differ for every request: ids and the date."""
    body = {name: value for name, value in answer.json().items() if name not in ("id", "request_id")}
    headers = {name: value for name, value in answer.headers.items() if name not in ("x-request-id", "date")}
    return {"status": answer.status_code, "body": body, "headers": headers}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.site}-{case.code or len(case.fields)}")
def test_a_known_and_an_unknown_number_are_answered_alike(
    here: Service, clock: Clock, statements: Statements, case: Case
) -> None:
    clock.advance(hours=2)  # so that no case runs into quotas that another case used
    known, fields = requested_by_victim(here, clock, case.site), case.fields
    for _ in range(case.before):
        work = solved(here, clock, case.site)
        assert here.ask(PAGE, site=case.site, client_phone=phone(), **work).status_code == 202
        fields = fields | work
    durations: dict[str, list[float]] = {"known": [], "unknown": []}
    statement_counts: dict[str, list[int]] = {"known": [], "unknown": []}
    for _ in range(ROUNDS):
        if case.code is None:  # the attacker may know which phones they requested themselves
            known = requested_by_victim(here, clock, case.site)
        answers = {}
        for kind, number in (("known", known), ("unknown", phone())):
            before, began = counted(statements, case), time.perf_counter()
            answers[kind] = here.ask(case.headers, site=case.site, client_phone=number, **fields)
            durations[kind].append(time.perf_counter() - began)
            statement_counts[kind].append(counted(statements, case) - before)
        assert (answers["known"].status_code, answers["known"].json().get("code")) == (case.status, case.code)
        assert comparable(answers["known"]) == comparable(answers["unknown"])
        assert_protected(answers["known"])
        assert_cors(answers["known"])
    assert min(statement_counts["known"]) == min(statement_counts["unknown"])
    assert case.code is not None or 0 < min(statement_counts["known"]) <= MOST_STATEMENTS
    known_ms, unknown_ms = (statistics.median(times) * 1000 for times in durations.values())
    note(f"{case.status} {case.code or ''} of a known number", f"{known_ms:.1f} ms, of an unknown one {unknown_ms:.1f}")
