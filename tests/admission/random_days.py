"""Random days of a service: requests of a few phones and addresses at two sites, their calls, releases and retries."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from sqlalchemy import Connection, delete, select

from app.admission.admission_request import AdmissionConfig, AdmissionRequest, Decision
from app.admission.batch import admit_batch
from app.admission.requeue import Action, requeue
from app.errors import ConflictError
from app.outbox import claims, operator_actions
from app.outbox.callback import RequestKey, Status
from app.outbox.claims import AttemptOutcome
from app.outbox.phone_callbacks import PhoneCap, Wish
from app.outbox.resends import finish
from app.outbox.rings import Ring
from app.outbox.schema import callbacks, metadata
from tests.admission.deciding import DAY, HOUR, MINUTE, NOW, SECOND, config
from tests.outbox.factories import InspectableOutbox, callback, from_address

OPENS = NOW + 2 * HOUR
PHONES = ("79160000001", "79160000002", "79160000003")
ADDRESSES = ("203.0.113.7", "203.0.113.8", "2001:db8::1", "2001:db8:0:1::1", "2001:db8:0:100::1")
QUOTAS = {
    "per_address": "3/minute;8/hour",
    "per_address_phones": "2/day",
    "per_site": "5/hour;8/day",
    "held_per_site": "4/hour;20/day",
}


def ring_time(wish: Wish, now: datetime) -> Ring:
    """Return when a call rings: `shop` is closed until `OPENS`, and the hours of `blog` are unknown."""
    wanted = max(wish.planned_time or now, now)
    if wish.site == "blog":
        return Ring(wanted, wanted + HOUR, certain=False)
    at = max(wanted, OPENS)
    return Ring(at, at)


CONFIG = config(QUOTAS, per_phone="2/hour;4/day", ring_time=ring_time)


@dataclass(frozen=True)
class Batch:
    """Requests at one moment. `again` of each is the number of an earlier request, None for none."""

    wishes: Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Call:
    """Send what is due, and give each attempt one of the outcomes in turn."""

    outcomes: Sequence[str]


@dataclass(frozen=True)
class Act:
    """Release, retry or cancel the request with a number."""

    action: str
    number: int


@dataclass(frozen=True)
class Wait:
    """Let time pass."""

    length: timedelta


Step = Batch | Call | Act | Wait

_number = st.integers(0, 9)
_wish = st.fixed_dictionaries(
    {
        "site": st.sampled_from(["shop", "shop", "blog"]),
        "client_phone": st.sampled_from(PHONES),
        "address": st.sampled_from([*ADDRESSES, None]),
        "department": st.sampled_from([None, None, None, "sales"]),
        "planned": st.sampled_from([None, None, None, 3 * HOUR, 3 * HOUR + MINUTE, 5 * HOUR, 9 * HOUR, 30 * HOUR]),
        "held_for": st.sampled_from([None] * 7 + ["honeypot"]),
        "phone_blocked": st.sampled_from([False] * 19 + [True]),
        "key": st.sampled_from([None, None, "key-1", "key-2"]),
        "nonce": st.sampled_from([None] * 9 + ["n-1", "n-2"]),
        "again": st.none() | _number,
    }
)
_batch = st.lists(_wish, min_size=1, max_size=6).map(Batch)
_outcome = st.sampled_from(["placed", "placed", "unknown", "not_sent", "refused"])
_call = st.lists(_outcome, min_size=1, max_size=4).map(Call)
_act = st.builds(Act, st.sampled_from(["release", "retry", "cancel"]), _number)
_wait = st.sampled_from([SECOND, 19 * SECOND, 20 * SECOND, 30 * SECOND, MINUTE, 9 * MINUTE, HOUR, 5 * HOUR, DAY]).map(
    Wait
)
days = st.lists(_batch | _batch | _call | _act | _wait | _wait, min_size=1, max_size=14)


@dataclass
class Day:
    """One day on a database. `admit` admits the requests of a batch, and returns their decisions."""

    outbox: InspectableOutbox
    admit: Callable[[Connection, Sequence[AdmissionRequest], AdmissionConfig], list[Decision]] = admit_batch
    now: datetime = NOW
    ids: list[str] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)

    def play(self, steps: Sequence[Step], requests: dict[int, list[AdmissionRequest]]) -> None:
        """Play steps on an empty database. The same `requests` make two days have the same ids."""
        with self.outbox.database.writing.begin() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(delete(table))
        for number, step in enumerate(steps):
            with self.outbox.database.writing.begin() as connection:
                if isinstance(step, Batch):
                    batch = requests.setdefault(number, self._requests(step))
                    self.ids += [one.callback.id for one in batch]
                    self.decisions += self.admit(connection, batch, CONFIG)
                elif isinstance(step, Call):
                    self._call(connection, step)
                elif isinstance(step, Act):
                    self._act(connection, step)
                else:
                    self.now += step.length

    def _requests(self, batch: Batch) -> list[AdmissionRequest]:
        moments = (self.now + number * timedelta(milliseconds=1) for number in range(len(batch.wishes)))
        return [self._request(wish, at) for wish, at in zip(batch.wishes, moments, strict=True)]

    def _request(self, wish: dict[str, Any], now: datetime) -> AdmissionRequest:
        again = self.ids[wish["again"] % len(self.ids)] if wish["again"] is not None and self.ids else None
        fields = {name: wish[name] for name in ("site", "client_phone", "department", "held_for")} | {"again": again}
        planned = None if wish["planned"] is None else NOW + wish["planned"]
        fields |= {"created_at": now, "planned_time": planned if planned and planned > now else None}
        by_key = wish["address"] is None
        if by_key:
            made = callback(api_key="crm", **fields | {"held_for": None})
        else:
            made = from_address(wish["address"], **fields)
        ring = ring_time(made, now)
        made = replace(made, rings_at=ring.at, rings_until=ring.until, call_expected_at=ring.promise)
        scope = "key:crm" if by_key else f"site:{made.site}"
        fingerprint = f"{made.site}{made.client_phone}{made.department}{made.planned_time}"
        key = RequestKey(scope, wish["key"], fingerprint[-64:]) if wish["key"] else None
        return AdmissionRequest(made, key, None if by_key else wish["nonce"], phone_blocked=wish["phone_blocked"])

    def _call(self, connection: Connection, step: Call) -> None:
        cap = PhoneCap(CONFIG.per_phone, ring_time)
        due = claims.claim_due(connection, self.now, max_delay=DAY, lease=HOUR, token=f"{self.now}", limit=99, cap=cap)
        for number, claim in enumerate(sorted(due, key=lambda one: one.callback_id)):
            outcome = step.outcomes[number % len(step.outcomes)]
            status, due_at = {
                "placed": (Status.PLACED, None),
                "unknown": (Status.UNKNOWN, self.now + MINUTE),
                "not_sent": (Status.QUEUED, self.now + 5 * MINUTE),
                "refused": (Status.FAILED, None),
            }[outcome]
            if claim.history.count("unknown") and status is Status.UNKNOWN:
                due_at = None
            found = AttemptOutcome(status, due_at, None, outcome, None, 1, None, None)
            assert finish(connection, claim, found, self.now, cap) is True

    def _act(self, connection: Connection, step: Act) -> None:
        if not self.ids:
            return
        this = self.ids[step.number % len(self.ids)]
        stored = connection.scalar(select(callbacks.c.id).where(callbacks.c.id == this))
        if stored is None:
            return
        try:
            if step.action == "cancel":
                operator_actions.cancel(connection, this, self.now, "operator")
            else:
                action: Action = "release" if step.action == "release" else "retry"
                requeue(connection, action, this, self.now, 2 * HOUR, "operator", CONFIG)
        except ConflictError:
            return
