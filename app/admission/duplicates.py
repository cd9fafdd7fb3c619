"""Duplicates: find the callback that covers a request, unless its visitor says that it did not ring. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from app.admission.admission_request import AdmissionConfig, AdmissionRequest
from app.admission.snapshot import Snapshot
from app.outbox.callback import ACTIVE_STATUSES, Callback, Status
from app.outbox.phone_callbacks import PhoneCallback, RingTime
from app.outbox.rings import Ring

_AGAIN_AFTER: Final = timedelta(seconds=20)
"""How long after its ring time a call may be said not to have come."""


@dataclass(frozen=True, slots=True)
class Again:
    """A request that repeats another one, `named`, because no phone rang; `chain` is the first request of its chain.

    `excluded` are the callbacks that did not ring by the visitor's word. `unsent` is the callback that was to ring and
    is still to be sent, so that no second one is needed; None if it was sent.
    """

    named: str
    chain: str
    excluded: frozenset[str]
    unsent: PhoneCallback | None


def read_again(request: AdmissionRequest, snapshot: Snapshot) -> Again | None:
    """Return what a request's `again` means; None if it is absent or of no effect, which its sender isn't told.

    It has to name a request of the same site and phone, 20 s past its ring time and not repeated yet.
    """
    callback = request.callback
    named = snapshot.callbacks.get(callback.again or "")
    if named is None or (named.site, named.phone) != (callback.site, callback.client_phone):
        return None
    if named.rings_at is None or request.now < named.rings_at + _AGAIN_AFTER:
        return None
    first = named.again_chain or named.id
    chain = [one for one in snapshot.callbacks.values() if first in (one.id, one.again_chain)]
    if any(one.again_of == named.id and not _is_held(one) for one in chain):
        return None
    original = snapshot.callbacks.get(named.duplicate_of) if named.duplicate_of else named
    # Under former settings of its account it may never be sent.
    will_be_sent = original is not None and _is_unsent(original) and original.route == callback.route
    unsent = original if will_be_sent else None
    return Again(named.id, first, _covered_by(chain), unsent)


def chain_of(one: PhoneCallback, others: Iterable[PhoneCallback]) -> frozenset[str]:
    """Return the callbacks that did not ring by the word of a callback's visitor, who asked again after them."""
    if one.again_chain is None:
        return frozenset()
    return _covered_by([other for other in others if one.again_chain in (other.id, other.again_chain)])


def _covered_by(chain: Iterable[PhoneCallback]) -> frozenset[str]:
    """Return the ids of a chain of requests, and of the callbacks that they were merged into."""
    chain = list(chain)
    return frozenset({one.id for one in chain} | {one.duplicate_of for one in chain if one.duplicate_of})


def links(again: Again | None) -> dict[str, str]:
    """Return the arguments of `Admitted` that record what a request repeats."""
    return {} if again is None else {"again_of": again.named, "again_chain": again.chain}


def find_duplicate(
    request: AdmissionRequest, snapshot: Snapshot, config: AdmissionConfig, again: Again | None
) -> PhoneCallback | None:
    """Return the callback that covers a request; None if there is none.

    It has the same site, phone and department, and rings at nearly the same time: see `DUPLICATE_WINDOW`.
    """
    if again is not None and again.unsent is not None:
        return again.unsent
    callback = request.callback
    others = snapshot.of_phone(callback.client_phone)
    if not others:
        return None
    excluded = again.excluded if again is not None else frozenset()
    ring = replace(callback.ring, rings=config.ring_time(callback, request.now).rings)
    near = [
        (distance, one)
        for one in others
        if one.id not in excluded
        and is_same_wish(callback, one)
        and (distance := distance_of(one, ring, config.ring_time, request.now)) is not None
        and distance <= config.duplicate_window
    ]
    return min(near, key=lambda pair: pair[0])[1] if near else None


def is_same_wish(wish: Callback | PhoneCallback, one: PhoneCallback) -> bool:
    """Return whether a callback is active, and asks for the same call as another but perhaps at another time.

    A callback still to be sent under former settings of its account may never be sent, so it covers none.
    """
    return (
        one.status in ACTIVE_STATUSES
        and (one.site, one.department, one.given) == (wish.site, wish.department, wish.given)
        and (one.route == wish.route or not _is_unsent(one))
    )


def distance_of(one: PhoneCallback, ring: Ring, ring_time: RingTime, now: datetime) -> timedelta | None:
    """Return the time between a callback's ring and another one; None if one is a lead and the other is not.

    With an attempt due a callback rings as if it was sent now, otherwise as it was sent.
    """
    sent_at = one.rings_at or one.created_at
    its_ring = one.next_ring(ring_time, now) or ring_time(one, sent_at)
    if its_ring.rings != ring.rings:
        return None
    return abs((its_ring.at if one.due_at is not None else sent_at) - ring.at)


def _is_held(one: PhoneCallback) -> bool:
    """Return whether a request waits for an operator, by itself or with the one that covers it."""
    return one.held_for is not None and one.status in (Status.HELD, Status.DUPLICATE)


def _is_unsent(one: PhoneCallback) -> bool:
    return one.due_at is not None or one.status is Status.SENDING
