"""Held requests: why a request is held until an operator decides, and how many may be. Pure.

They ring nobody, so they use up nobody else's room: they count in budgets of their own only. Otherwise a bot could
close a site, or a stranger could lock a number.
"""

from dataclasses import replace
from typing import Final

from app.admission.admission_request import AdmissionRequest, Admitted, Decision, Quotas
from app.admission.duplicates import Again, links
from app.admission.snapshot import BUCKETS, HeldRequest, Snapshot
from app.errors import TooManyRequestsError
from app.outbox.blocklist_store import refusal
from app.outbox.callback import AcceptResult, Status
from app.outbox.phone_callbacks import PhoneCallback
from app.outbox.rings import Limit

BLOCKED_PHONE: Final = "blocked_phone"
BURST: Final = "burst"
SITE_BUDGET: Final = "site_budget"
NOT_SUSPICIOUS: Final = frozenset({BURST, SITE_BUDGET})
"""Reasons without suspicion. They have a budget of their own, which bots can't fill."""

_ADDRESS_SHARE: Final = 10
"""One address may use a tenth of the budget of suspicious requests."""


def hold_reason(request: AdmissionRequest, quotas: Quotas, *, burst: bool, over_budget: bool) -> str | None:
    """Return the stable code of the reason to hold a request, None to go on.

    With an API key nothing is held. Raises ForbiddenError for its blocked phone, TooManyRequestsError beyond the
    budget.
    """
    callback = request.callback
    if callback.api_key is not None:
        if request.phone_blocked:
            raise refusal()
        if over_budget:
            raise _site_full(quotas.per_site[0])
        return None
    if request.phone_blocked:
        return BLOCKED_PHONE
    if callback.held_for is not None:
        return callback.held_for
    if burst:
        return BURST
    return SITE_BUDGET if over_budget else None


def decide_held(
    request: AdmissionRequest,
    snapshot: Snapshot,
    quotas: Quotas,
    reason: str,
    again: Again | None,
    *,
    over_budget: bool,
) -> Decision:
    """Hold a request; one for the same call that is held for the same reason already covers it.

    Raises TooManyRequestsError beyond the budgets of held requests.
    """
    _check_budgets(request, snapshot, quotas, reason)
    # Nobody can promise a time for a burst. At a site over its budget no answer has one, or the suspicious requests
    # could be told from the others.
    untimed = reason in NOT_SUSPICIOUS or over_budget
    expected_at = None if untimed else request.callback.call_expected_at
    callback = replace(request.callback, held_for=reason, call_expected_at=expected_at)
    answer = AcceptResult(callback.id, Status.QUEUED, callback.created_at, expected_at)
    equal = _equal_held(request, snapshot, reason)
    if equal is not None:
        return Decision(answer, Admitted(callback, Status.DUPLICATE, equal.id, **links(again)))
    return Decision(answer, Admitted(callback, Status.HELD, **links(again)))


def _equal_held(request: AdmissionRequest, snapshot: Snapshot, reason: str) -> PhoneCallback | None:
    callback = request.callback
    wish = (callback.site, callback.department, callback.given, callback.planned_time, reason)
    for one in snapshot.of_phone(callback.client_phone):
        held = (one.site, one.department, one.given, one.planned_time, one.held_for)
        if one.status is Status.HELD and held == wish:
            return one
    return None


def _check_budgets(request: AdmissionRequest, snapshot: Snapshot, quotas: Quotas, reason: str) -> None:
    suspicious = reason not in NOT_SUSPICIOUS
    held = [
        one for one in snapshot.held.get(request.callback.site, []) if (one.reason not in NOT_SUSPICIOUS) == suspicious
    ]
    for limit in quotas.held_per_site:
        recent = [one for one in held if one.at > request.now - limit.window]
        if len(recent) >= limit.amount:
            raise _site_full(limit)
        if suspicious and _address_is_full(request, recent, limit.amount):
            raise TooManyRequestsError(
                "quota_client",
                "Too many requests from your network. Please try again later.",
                retry_after=limit.window.total_seconds(),
            )


def _address_is_full(request: AdmissionRequest, held: list[HeldRequest], amount: int) -> bool:
    share = max(1, amount // _ADDRESS_SHARE)
    for index, (column, times) in enumerate(BUCKETS):
        bucket = getattr(request.callback, column)
        if bucket is not None and sum(one.buckets[index] == bucket for one in held) >= share * times:
            return True
    return False


def _site_full(limit: Limit) -> TooManyRequestsError:
    return TooManyRequestsError(
        "quota_site",
        "This site takes no more requests for now. Please try again later.",
        retry_after=limit.window.total_seconds(),
    )
