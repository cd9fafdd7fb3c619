"""The outbox as a state machine: hypothesis tries sequences of events and checks the invariants after each.

It runs the real outbox on SQLite and the real retry policy: accepting, holding, claiming, recording, lost workers,
expired leases, expiry, operator actions, erasure, restarts and clock jumps. The model knows the accepted callbacks and
the phones that rang. Only an operator's `retry` allows one more call. A request for the same phone is stored as a
duplicate of a callback that covers it, and never rings.
"""

import asyncio
import itertools
import shutil
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from app.admission.requeue import requeue
from app.delivery.retry_policy import Outcome, RetryPolicy, decide
from app.errors import ConflictError
from app.outbox.callback import Callback, RequestKey
from app.outbox.claims import AttemptOutcome, Claim
from app.outbox.database import open_database
from app.outbox.operator_actions import cancel
from app.outbox.transitions import OPERATOR
from tests.faults.world import STATUS_WITHOUT_HISTORY, read_sqlite
from tests.outbox.factories import CAP, CONFIG, InspectableOutbox
from tests.outbox.factories import callback as made

LEASE = timedelta(seconds=40)
MAX_DELAY = timedelta(minutes=30)  # no due time is further ahead, unless the clock was set back
START = datetime(2026, 3, 2, 9, tzinfo=UTC)
STEP = timedelta(seconds=90)
REFUSED_ACCOUNT = (Outcome.FORBIDDEN, Outcome.UNAUTHORIZED)
FINAL = {"placed", "failed", "unknown", "cancelled", "duplicate"}
ACTIVE = {"queued", "sending", "placed", "unknown"}
GIVE_UP_AFTER = timedelta(hours=2)
ALLOWED_FROM = {"release": ["held"], "retry": ["failed", "unknown"], "cancel": ["queued", "held", "unknown"]}


@dataclass
class ActiveClaim:
    """A claim that a worker has; `rang`: its call has been executed."""

    claim: Claim
    rang: bool = False


class OutboxMachine(RuleBasedStateMachine):
    """One outbox, its workers, visitors, operators and the clock."""

    on_unknown: ClassVar[Any] = "resend_once"
    empty: ClassVar[Path]
    """A migrated, empty database; copying it is faster than migrating."""

    @initialize(last_outcome=st.sampled_from([Outcome.PLACED, Outcome.UNKNOWN]))
    def begin(self, last_outcome: Outcome) -> None:
        """Open an empty outbox. `last_outcome`: of the calls that are made after the sequence."""
        self.last_outcome = last_outcome
        self.folder = Path(tempfile.mkdtemp(dir=self.empty.parent))
        shutil.copy(self.empty, self.folder / "callbacks.db")
        self.runner = asyncio.Runner()
        self.open()
        self.policy = RetryPolicy((timedelta(seconds=5), timedelta(minutes=1)), self.on_unknown)
        self.now = START
        self.numbers = itertools.count()
        self.requests: list[tuple[Callback, RequestKey]] = []
        self.accepted: set[str] = set()
        self.rung: dict[str, int] = {}
        self.retried: dict[str, int] = {}
        self.claims: list[ActiveClaim] = []

    def open(self) -> None:
        self.outbox = InspectableOutbox(open_database(f"sqlite:///{self.folder / 'callbacks.db'}"))

    @rule(hold=st.sampled_from([None, None, "honeypot"]))
    def accept(self, hold: str | None) -> None:
        number = next(self.numbers)
        callback = made(id=f"callback-{number}", client_phone=f"7916{number:07}", created_at=self.now, held_for=hold)
        key = RequestKey("site:shop", f"key-{number}", "f")
        self.requests.append((callback, key))
        result = self.runner.run(self.outbox.admit(callback, key))
        assert (result.id, result.status) == (callback.id, "queued"), "the answer reveals that the callback is held"
        self.accepted.add(result.id)

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def retry_request(self, data: st.DataObject) -> None:
        """The browser got no answer and retries: with a new callback id, but the same idempotency key."""
        callback, key = data.draw(st.sampled_from(self.requests))
        if (callback.id, None) in [(row[0], row[-1]) for row in self.rows()]:
            return  # the key was erased with the number, so this would be a new request
        again = replace(callback, id=f"{callback.id}-again", created_at=self.now, due_at=self.now)
        assert self.runner.run(self.outbox.admit(again, key)).id == callback.id

    @rule(limit=st.integers(1, 3))
    def claim(self, limit: int) -> None:
        held = {row[0] for row in self.rows() if row[1] == "sending"}
        for claim in self.claim_due(limit):
            assert claim.callback_id in self.accepted
            assert claim.callback_id not in held
            may_be_sent = Outcome.UNKNOWN not in claim.history or claim.callback_id in self.retried
            assert may_be_sent or not self.holding, "an unknown callback was sent again without an operator's retry"
            self.claims.append(ActiveClaim(claim))

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def request_same_phone(self, data: st.DataObject) -> None:
        """A new request for the same phone rings only if no other is still to be sent."""
        phone = data.draw(st.sampled_from(self.requests))[0].client_phone
        rows = [row for row in self.rows() if row[-1] == phone]
        if any(status == "held" for _, status, *_ in rows):
            return  # the release of the held callback would be refused from then on
        waiting = [name for name, _, due_at, *_ in rows if due_at]
        number = next(self.numbers)
        callback = made(id=f"callback-{number}", client_phone=phone, created_at=self.now, client_bucket=None)
        key = RequestKey("site:shop", f"key-{number}", "f")
        result = self.runner.run(self.outbox.admit(callback, key))
        assert (result.id, result.duplicate) == (callback.id, False), "the answer reveals the earlier request"
        self.accepted.add(result.id)
        ((status, original),) = self.sql(f"SELECT status, duplicate_of FROM callbacks WHERE id = '{callback.id}'")
        if status == "duplicate":
            assert original in [name for name, status, *_ in rows if status in ACTIVE]
            return
        assert waiting == [], "the phone would ring twice"
        self.requests.append((callback, key))

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def ring(self, data: st.DataObject) -> None:
        """The call of a worker is executed, perhaps after its lease has expired."""
        active = data.draw(st.sampled_from(self.claims))
        if not active.rang:
            active.rang = True
            name = active.claim.callback_id
            self.rung[name] = self.rung.get(name, 0) + 1

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def record(self, data: st.DataObject) -> None:
        """A worker records an outcome that it can know of its attempt."""
        active = self.claims.pop(data.draw(st.integers(0, len(self.claims) - 1)))
        possible = (
            [Outcome.PLACED, Outcome.UNKNOWN]
            if active.rang
            else [Outcome.NOT_SENT, Outcome.NOT_STARTED, Outcome.UNKNOWN, Outcome.REFUSED, *REFUSED_ACCOUNT]
        )
        self.finish(active.claim, data.draw(st.sampled_from(possible)))

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        """A worker is lost; its claim stays in the database."""
        self.claims.pop(data.draw(st.integers(0, len(self.claims) - 1)))

    @rule(by=st.sampled_from([1, 6, 61, 70, 3600, 7200, -3600, -600, -5]))
    def pass_time(self, by: int) -> None:
        """Time passes, or the clock is set forward or back."""
        self.now += timedelta(seconds=by)

    @rule()
    def expire(self) -> None:
        self.runner.run(self.outbox.expire(self.now))

    @precondition(lambda self: self.accepted)
    @rule(data=st.data(), action=st.sampled_from(sorted(ALLOWED_FROM)))
    def perform_action(self, data: st.DataObject, action: str) -> None:
        """An operator releases, retries or cancels; an action that the status forbids changes nothing."""
        before = self.rows()
        name, status, *_, number = data.draw(st.sampled_from(before))
        refused = self.perform(action, name)
        if status not in ALLOWED_FROM[action] or (number is None and action != "cancel"):
            assert refused in ("invalid_state", "personal_data_erased")
        elif refused:
            others = [row for row in before if row[-1] == number and row[0] != name and row[1] in ACTIVE]
            assert (refused, bool(others)) == ("already_called", True)
        elif action == "retry":
            self.retried[name] = self.retried.get(name, 0) + 1
        assert not refused or self.rows() == before

    @rule(age=st.sampled_from([timedelta(seconds=-1), GIVE_UP_AFTER]))
    def erase(self, age: timedelta) -> None:
        """Numbers are erased after their retention; callbacks that wait or are being sent stay unchanged."""
        before = {row[0]: row for row in self.rows()}
        self.runner.run(self.outbox.erase(self.now, age))
        for name, status, due_at, *lease, number in self.rows():
            if number is None and before[name][-1] is not None:
                assert status in FINAL, name
                assert (due_at, *lease) == (None, None, None), name
            else:
                assert (name, status, due_at, *lease, number) == before[name]

    @rule(workers_live=st.booleans(), hold=st.booleans())
    def restart(self, *, workers_live: bool, hold: bool = False) -> None:
        """The process restarts and finishes orphaned claims. Calls that were sent may still ring.

        `workers_live`: workers of the old process still record outcomes. `hold`: the new settings hold a callback with
        an unknown outcome for an operator.
        """
        if hold:
            self.policy = replace(self.policy, on_unknown="hold")
        self.outbox.close()
        self.open()
        if not workers_live:
            self.claims.clear()
        for claim in self.runner.run(self.outbox.orphaned(self.now)):
            self.finish(claim, Outcome.UNKNOWN)
        self.runner.run(self.outbox.hold_unknown(self.now, lambda _: self.holding))

    def claim_due(self, limit: int) -> list[Claim]:
        claiming = self.outbox.claim_due(self.now, max_delay=MAX_DELAY, lease=LEASE, limit=limit, cap=CAP)
        return self.runner.run(claiming)

    def perform(self, action: str, name: str) -> str | None:
        """Perform an action of an operator; return the code of its refusal, None if it was performed."""
        terms = {"callback_id": name, "now": self.now, "actor": OPERATOR}
        queue = partial(requeue, action=action, give_up_after=GIVE_UP_AFTER, config=CONFIG, **terms)
        work = partial(cancel, **terms) if action == "cancel" else queue
        try:
            self.runner.run(self.outbox.write(work, isolated=True))
        except ConflictError as refused:
            return refused.code
        return None

    @property
    def holding(self) -> bool:
        return self.policy.on_unknown == "hold"

    def finish(self, claim: Claim, outcome: Outcome) -> None:
        decision = decide(
            outcome,
            history=self.history(claim),
            give_up_at=claim.give_up_at,
            retry_after=None,
            now=self.now,
            random=0.5,
            policy=self.policy,
        )
        result = AttemptOutcome(decision.status, decision.due_at, decision.reason, outcome, None, 1, claim.token, None)
        before = self.rows()
        held = self.runner.run(self.outbox.finish_attempt(claim, result, self.now, CAP))
        if held is not True:
            assert self.rows() == before, "a worker without the claim, or with an old deadline, changed the row"
        if isinstance(held, datetime):
            self.finish(replace(claim, give_up_at=held), outcome)

    def history(self, claim: Claim) -> tuple[str, ...]:
        return claim.history

    def rows(self) -> list[tuple[Any, ...]]:
        columns = "id, status, due_at, lease_until, lease_token, client_phone"
        return self.sql(f"SELECT {columns} FROM callbacks ORDER BY id")

    def unknown_outcomes(self) -> dict[str, int]:
        """Count the recorded unknown outcomes by callback."""
        outcomes = "SELECT callback_id, count(*) FROM attempts WHERE outcome = 'unknown' GROUP BY callback_id"
        return dict(self.sql(outcomes))

    def sql(self, statement: str) -> list[Any]:
        return list(read_sqlite(str(self.folder / "callbacks.db"), statement))

    @invariant()
    def invariants_hold(self) -> None:
        rows = self.rows()
        assert {row[0] for row in rows} == self.accepted, "a callback was lost, or one appeared"
        assert self.sql(STATUS_WITHOUT_HISTORY) == []
        unknown_outcomes = self.unknown_outcomes()
        for name, status, due_at, lease_until, *_ in rows:
            rung, unknown = self.rung.get(name, 0), unknown_outcomes.get(name, 0)
            most = (1 if self.on_unknown == "hold" else 2) + self.retried.get(name, 0)
            assert (lease_until is not None) == (status == "sending"), name
            waits = due_at is not None or lease_until is not None or status == "held"
            assert status in FINAL or waits, f"{name} would stay {status}"
            assert due_at is None or status in ("queued", "unknown"), name
            assert status != "failed" or unknown == 0, f"{name} failed, but may have rung"
            assert rung <= 1 + unknown, f"{name} rang {rung} times after {unknown} unknown outcomes"
            # A callback in `sending` may still become unknown.
            assert max(rung, unknown + (status == "sending")) <= most, f"{name} may ring more than {most} times"

    def teardown(self) -> None:
        """Without further faults every callback becomes final, and every placed one has rung."""
        try:
            self.restart(workers_live=False)
            for name, status, *_ in self.rows():
                if status == "held":
                    assert self.perform("release", name) is None
            # A callback that was queued before the clock was set back waits up to MAX_DELAY again. It may also become
            # unknown once more, with another delay.
            for _ in range(2 * (MAX_DELAY // STEP) + 4):
                if not any(due_at is not None for _, _, due_at, *_ in self.rows()):
                    break
                self.now += STEP
                self.runner.run(self.outbox.expire(self.now))
                for claim in self.claim_due(50):
                    name = claim.callback_id
                    self.rung[name] = self.rung.get(name, 0) + 1
                    self.finish(claim, self.last_outcome)
            self.invariants_hold()
            for name, status, due_at, *_ in self.rows():
                assert status in FINAL, name
                assert due_at is None, name
                assert status != "placed" or self.rung[name] >= 1, name
        finally:
            self.outbox.close()
            self.runner.close()
