"""The decision about one request, a pure function of a snapshot, which it updates for the next request.

The order of the rules is a promise, see docs/admission.md: replay, challenge, blocked address, the address's longest
limits, held, duplicate, the phone's cap, queued. A visitor beyond their own limits learns nothing about any number.
"""

from dataclasses import replace

from app.admission.address_limits import check_address
from app.admission.admission_request import AdmissionConfig, AdmissionRequest, Admitted, Decision, Merge
from app.admission.duplicates import Again, find_duplicate, links, read_again
from app.admission.holding import decide_held, hold_reason
from app.admission.phone_cap import check_phone
from app.admission.site_budget import budget_usage, is_over_budget
from app.admission.snapshot import RingSpot, Snapshot
from app.errors import ConflictError, ServiceError, UnprocessableContentError
from app.outbox.blocklist_store import refusal
from app.outbox.callback import AcceptResult, Callback, Status
from app.outbox.phone_callbacks import PhoneCallback
from app.outbox.schema import LEGACY_FINGERPRINT


def decide(request: AdmissionRequest, snapshot: Snapshot, config: AdmissionConfig) -> Decision:
    """Return what becomes of a request, and record it in the snapshot."""
    try:
        replayed = find_replay(request, snapshot)
        decision = Decision(replayed) if replayed is not None else _admit(request, snapshot, config)
    except ServiceError as refused:
        decision = Decision(refused)
    snapshot.record(request, decision)
    return decision


def find_replay(request: AdmissionRequest, snapshot: Snapshot) -> AcceptResult | None:
    """Return the first response to a request that was sent before with the same key; None for a new request.

    A visitor's key belongs to its fingerprint: with another one it is another request, so nobody learns which keys
    exist. Raises UnprocessableContentError if an API key sends another request under the same request key.
    """
    key, callback = request.key, request.callback
    if key is None:
        return None
    stored = snapshot.keys.get((key.scope, key.key), [])
    for one in stored:
        is_legacy = one.fingerprint == LEGACY_FINGERPRINT and (one.site, one.phone) == (
            callback.site,
            callback.client_phone,
        )
        if is_legacy or one.fingerprint == key.fingerprint:
            return replace(one.answer, replayed=True)
    if stored and callback.api_key is not None:
        raise UnprocessableContentError(
            "request_id_reused", "This request_id came before with another request: use a new one."
        )
    return None


def _admit(request: AdmissionRequest, snapshot: Snapshot, config: AdmissionConfig) -> Decision:
    callback, quotas = request.callback, config.quotas[request.callback.site]
    _use_challenge(request, snapshot)
    if request.address_blocked:
        raise refusal()
    burst = check_address(request, snapshot, quotas)
    spot = RingSpot.of(callback)
    over_budget = is_over_budget(spot, snapshot, quotas.per_site)
    reason = hold_reason(request, quotas, burst=burst, over_budget=over_budget)
    again = read_again(request, snapshot)
    if reason is not None:
        held = decide_held(request, snapshot, quotas, reason, again, over_budget=over_budget)
        return replace(held, budget=budget_usage(spot, snapshot, quotas.per_site, request.now)) if over_budget else held
    original = find_duplicate(request, snapshot, config, again)
    if original is not None:
        return _merge(request, original, again)
    check_phone(request, snapshot, config)
    answer = AcceptResult(callback.id, Status.QUEUED, callback.created_at, callback.call_expected_at)
    usage = budget_usage(spot, snapshot, quotas.per_site, request.now)
    return Decision(answer, Admitted(callback, Status.QUEUED, **links(again)), budget=usage)


def _use_challenge(request: AdmissionRequest, snapshot: Snapshot) -> None:
    """Use the request's challenge, also if the request is refused later: one solution must not test many numbers."""
    if request.nonce is None:
        return
    used_by = snapshot.nonces.get(request.nonce)
    if used_by is None:
        snapshot.use_nonce(request.nonce, request.user)
    elif used_by != request.user:
        raise ConflictError("challenge_used", "This challenge was used by another request: solve a new one.")


def _merge(request: AdmissionRequest, original: PhoneCallback, again: Again | None) -> Decision:
    """Store a request as a duplicate. What only a retry's wait holds becomes due now; a resend only with `again`."""
    callback = request.callback
    is_again = again is not None and original is again.unsent
    waits = original.due_at is not None and original.due_at > request.now
    hurry = waits and (is_again or original.status is Status.QUEUED)
    merge = Merge(original.id, callback.give_up_at, request.now if hurry else None)
    admitted = Admitted(callback, Status.DUPLICATE, original.id, **links(again))
    return Decision(_duplicate_answer(callback, original), admitted, merge)


def _duplicate_answer(callback: Callback, original: PhoneCallback) -> AcceptResult:
    if callback.api_key is None:
        return AcceptResult(callback.id, Status.QUEUED, callback.created_at, callback.call_expected_at)
    return AcceptResult(original.id, original.status, original.created_at, original.call_expected_at, duplicate=True)
