"""The outbox and its promises, for hypothesis to try sequences of events on.

It drives the real outbox on SQLite and the real policy through accepting, holding, claiming, recording, dying,
standing still, giving up, a person's decisions, erasing, restarts and jumps of the clock. The model beside it knows
what was accepted and what really rang. Only a person's `retry` allows a call more.
"""

import asyncio
import itertools
import shutil
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from app.delivery.retry_policy import Outcome, RetryPolicy, decide
from app.errors import ConflictError
from app.outbox.callback import Callback, RequestKey
from app.outbox.claims import AttemptOutcome, Claim
from app.outbox.database import open_database
from app.outbox.outbox import Outbox
from tests.faults.world import read_sqlite
from tests.outbox.factories import callback as made
from tests.outbox.factories import rules as accept_rules

LEASE = timedelta(seconds=40)
FURTHEST = timedelta(minutes=30)  # nothing is ever due later than this, unless the clock was set back
ACCEPT = accept_rules()
START = datetime(2026, 3, 2, 9, tzinfo=UTC)
STEP = timedelta(seconds=90)
REFUSED_NOW = (Outcome.FORBIDDEN, Outcome.UNAUTHORIZED)
ENDED = {"placed", "failed", "unknown", "cancelled"}
GIVE_UP_AFTER = timedelta(hours=2)
MAY = {"release": ["held"], "retry": ["failed", "unknown"], "cancel": ["queued", "held", "unknown"]}


@dataclass
class Sending:
    """A claim in the hands of a worker; `rang`: its call was executed by now."""

    claim: Claim
    rang: bool = False


class OutboxMachine(RuleBasedStateMachine):
    """One outbox, its workers, and the world outside."""

    on_unknown: ClassVar[Any] = "resend_once"
    empty: ClassVar[Path]
    """A database with all its tables and nothing in them: to copy it is quicker than to migrate."""

    @initialize(at_the_end=st.sampled_from([Outcome.PLACED, Outcome.UNKNOWN]))
    def begin(self, at_the_end: Outcome) -> None:
        """``at_the_end``: what becomes of the calls that are still to be made when the sequence is over."""
        self.at_the_end = at_the_end
        self.folder = Path(tempfile.mkdtemp(dir=self.empty.parent))
        shutil.copy(self.empty, self.folder / "callbacks.db")
        self.runner = asyncio.Runner()
        self.outbox = self.open()
        self.rules = RetryPolicy((timedelta(seconds=5), timedelta(minutes=1)), self.on_unknown)
        self.now = START
        self.numbers = itertools.count()
        self.asked: list[tuple[Callback, RequestKey]] = []
        self.accepted: set[str] = set()
        self.rung: dict[str, int] = {}
        self.retried: dict[str, int] = {}
        self.hands: list[Sending] = []

    def open(self) -> Outbox:
        return Outbox(open_database(f"sqlite:///{self.folder / 'callbacks.db'}"))

    @rule(hold=st.sampled_from([None, None, "honeypot"]))
    def accept(self, hold: str | None) -> None:
        number = next(self.numbers)
        callback = made(id=f"callback-{number}", client_phone=f"7916{number:07}", created_at=self.now, hold=hold)
        key = RequestKey("site:shop", f"key-{number}", "f")
        self.asked.append((callback, key))
        told = self.runner.run(self.outbox.accept(callback, key, ACCEPT))
        assert (told.id, told.status) == (callback.id, "queued"), "whoever is held isn't told so"
        self.accepted.add(told.id)

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def ask_again(self, data: st.DataObject) -> None:
        """The browser got no answer, and asks again: with another id of ours, under the same key of its own."""
        callback, key = data.draw(st.sampled_from(self.asked))
        if (callback.id, None) in [(row[0], row[-1]) for row in self.rows()]:
            return  # the key is forgotten with the number: it would be a new wish
        again = replace(callback, id=f"{callback.id}-again", created_at=self.now, due_at=self.now)
        assert self.runner.run(self.outbox.accept(again, key, ACCEPT)).id == callback.id

    @rule(limit=st.integers(1, 3))
    def claim(self, limit: int) -> None:
        held = {row[0] for row in self.rows() if row[1] == "sending"}
        for claim in self.runner.run(self.outbox.claim_due(self.now, max_delay=FURTHEST, lease=LEASE, limit=limit)):
            assert claim.callback_id in self.accepted
            assert claim.callback_id not in held
            decided = Outcome.UNKNOWN not in claim.history or claim.callback_id in self.retried
            assert decided or not self.holding, "that is for a person to decide"
            self.hands.append(Sending(claim))

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def ask_anew(self, data: st.DataObject) -> None:
        """The same phone is asked for once more, as another wish: it makes a callback only when none is to be sent."""
        phone = data.draw(st.sampled_from(self.asked))[0].client_phone
        rows = [row for row in self.rows() if row[-1] == phone]
        if any(status == "held" for _, status, *_ in rows):
            return  # its release would be refused from then on
        waiting = [name for name, _, due_at, lease_until, *_ in rows if due_at or lease_until]
        number = next(self.numbers)
        callback = made(id=f"callback-{number}", client_phone=phone, created_at=self.now, client_bucket=None)
        key = RequestKey("site:shop", f"key-{number}", "f")
        told = self.runner.run(self.outbox.accept(callback, key, ACCEPT))
        if told.id != callback.id:
            assert told.duplicate
            return
        assert waiting == [], "it would ring twice"
        self.asked.append((callback, key))
        self.accepted.add(told.id)

    @precondition(lambda self: self.hands)
    @rule(data=st.data())
    def ring(self, data: st.DataObject) -> None:
        """The call of some worker is executed, even by one that has overslept its lease."""
        sending = data.draw(st.sampled_from(self.hands))
        if not sending.rang:
            sending.rang = True
            name = sending.claim.callback_id
            self.rung[name] = self.rung.get(name, 0) + 1

    @precondition(lambda self: self.hands)
    @rule(data=st.data())
    def record(self, data: st.DataObject) -> None:
        """A worker writes down what an attempt came to, as far as it can know."""
        sending = self.hands.pop(data.draw(st.integers(0, len(self.hands) - 1)))
        possible = (
            [Outcome.PLACED, Outcome.UNKNOWN]
            if sending.rang
            else [Outcome.NOT_SENT, Outcome.NOT_STARTED, Outcome.UNKNOWN, Outcome.REFUSED, *REFUSED_NOW]
        )
        self.settle(sending.claim, data.draw(st.sampled_from(possible)))

    @precondition(lambda self: self.hands)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        """A worker is gone; what it held stays behind."""
        self.hands.pop(data.draw(st.integers(0, len(self.hands) - 1)))

    @rule(by=st.sampled_from([1, 6, 61, 70, 3600, 7200, -3600, -600, -5]))
    def pass_time(self, by: int) -> None:
        """Time passes, or somebody sets the clock, back too."""
        self.now += timedelta(seconds=by)

    @rule()
    def expire(self) -> None:
        self.runner.run(self.outbox.expire(self.now))

    @precondition(lambda self: self.accepted)
    @rule(data=st.data(), decision=st.sampled_from(sorted(MAY)))
    def decide(self, data: st.DataObject, decision: str) -> None:
        """A person releases, retries or cancels; what the state forbids changes nothing."""
        self.now += timedelta(microseconds=1)  # the same decision at the same instant is one, asked for again
        before = self.rows()
        name, status, *_, number = data.draw(st.sampled_from(before))
        deciding = getattr(self.outbox, decision)
        terms = () if decision == "cancel" else (GIVE_UP_AFTER,)
        if status in MAY[decision] and (number is not None or decision == "cancel"):
            self.runner.run(deciding(name, self.now, *terms))
            if decision == "retry":
                self.retried[name] = self.retried.get(name, 0) + 1
            return
        with pytest.raises(ConflictError):
            self.runner.run(deciding(name, self.now, *terms))
        assert self.rows() == before

    @rule(age=st.sampled_from([timedelta(seconds=-1), GIVE_UP_AFTER]))
    def erase(self, age: timedelta) -> None:
        """Numbers are erased when their time has come; what waits or is being sent is not touched."""
        before = {row[0]: row for row in self.rows()}
        self.runner.run(self.outbox.erase(self.now, age))
        for name, status, due_at, *lease, number in self.rows():
            if number is None and before[name][-1] is not None:
                assert status in ENDED, name
                assert (due_at, *lease) == (None, None, None), name
            else:
                assert (name, status, due_at, *lease, number) == before[name]

    @rule(workers_live=st.booleans(), hold=st.booleans())
    def restart(self, *, workers_live: bool, hold: bool = False) -> None:
        """The process starts again and settles what was under way. Calls on the wire may still ring.

        ``hold``: it may have new settings, by which an unknown outcome waits for a person.
        """
        if hold:
            self.rules = replace(self.rules, on_unknown="hold")
        self.outbox.close()
        self.outbox = self.open()
        if not workers_live:
            self.hands.clear()
        for claim in self.runner.run(self.outbox.orphaned(self.now)):
            self.settle(claim, Outcome.UNKNOWN)
        self.runner.run(self.outbox.hold_unknown(self.now, lambda _: self.holding))

    @property
    def holding(self) -> bool:
        return self.rules.on_unknown == "hold"

    def settle(self, claim: Claim, outcome: Outcome) -> None:
        decision = decide(
            outcome,
            history=self.history(claim),
            give_up_at=claim.give_up_at,
            retry_after=None,
            now=self.now,
            random=0.5,
            policy=self.rules,
        )
        result = AttemptOutcome(decision.status, decision.due_at, decision.reason, outcome, None, 1, claim.token, None)
        before = self.rows()
        held = self.runner.run(self.outbox.finish_attempt(claim, result, self.now))
        if held is not True:
            assert self.rows() == before, "who no longer holds a claim, or knows too little, changes nothing"
        if isinstance(held, datetime):
            self.settle(replace(claim, give_up_at=held), outcome)

    def history(self, claim: Claim) -> tuple[str, ...]:
        return claim.history

    def rows(self) -> list[tuple[Any, ...]]:
        columns = "id, status, due_at, lease_until, lease_token, client_phone"
        return self.sql(f"SELECT {columns} FROM callbacks ORDER BY id")

    def unknown_outcomes(self) -> dict[str, int]:
        """Count those that are recorded: they are what the promise speaks of."""
        outcomes = "SELECT callback_id, count(*) FROM attempts WHERE outcome = 'unknown' GROUP BY callback_id"
        return dict(self.sql(outcomes))

    def sql(self, statement: str) -> list[Any]:
        return list(read_sqlite(str(self.folder / "callbacks.db"), statement))

    @invariant()
    def promises(self) -> None:
        rows = self.rows()
        assert {row[0] for row in rows} == self.accepted, "nothing is lost, nothing appears"
        unknown_outcomes = self.unknown_outcomes()
        for name, status, due_at, lease_until, *_ in rows:
            rung, unknown = self.rung.get(name, 0), unknown_outcomes.get(name, 0)
            most = (1 if self.on_unknown == "hold" else 2) + self.retried.get(name, 0)
            assert (lease_until is not None) == (status == "sending"), name
            waits = due_at is not None or lease_until is not None or status == "held"
            assert status in ENDED or waits, f"{name} would stay {status}"
            assert due_at is None or status in ("queued", "unknown"), name
            assert status != "failed" or unknown == 0, f"{name} is said to have failed, and may have rung"
            assert rung <= 1 + unknown, f"{name} rang {rung} times after {unknown} unknown outcomes"
            # What is being sent may yet become unknown.
            assert max(rung, unknown + (status == "sending")) <= most, f"{name} may ring more than {most} times"

    def teardown(self) -> None:
        """All is well again: everything comes to its end, and whoever could be called was called."""
        try:
            self.restart(workers_live=False)
            for name, status, *_ in self.rows():
                if status == "held":
                    self.runner.run(self.outbox.release(name, self.now, GIVE_UP_AFTER))
            # What was queued before the clock was set back waits for its time again, up to FURTHEST; and a callback may
            # be unknown once more, with its own wait.
            for _ in range(2 * (FURTHEST // STEP) + 4):
                if not any(due_at is not None for _, _, due_at, *_ in self.rows()):
                    break
                self.now += STEP
                self.runner.run(self.outbox.expire(self.now))
                for claim in self.runner.run(
                    self.outbox.claim_due(self.now, max_delay=FURTHEST, lease=LEASE, limit=50)
                ):
                    name = claim.callback_id
                    self.rung[name] = self.rung.get(name, 0) + 1
                    self.settle(claim, self.at_the_end)
            self.promises()
            for name, status, due_at, *_ in self.rows():
                assert status in ENDED, name
                assert due_at is None, name
                assert status != "placed" or self.rung[name] >= 1, name
        finally:
            self.outbox.close()
            self.runner.close()
