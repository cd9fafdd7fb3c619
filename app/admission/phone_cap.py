"""The cap of a phone: how often it may ring in any window, over all sites. Pure."""

from datetime import timedelta
from typing import Final

from app.admission.admission_request import AdmissionConfig, AdmissionRequest
from app.admission.snapshot import Snapshot
from app.errors import TooManyRequestsError
from app.outbox.callback import ACTIVE_STATUSES
from app.outbox.rings import exceeds_any

MOST_PLANNED: Final = 3
"""How many calls of one phone, planned by visitors, may wait. Otherwise strangers could plan a week of calls."""

_RETRY_AFTER: Final = timedelta(hours=1)  # always the same: an exact time would tell when others asked for the number


def check_phone(request: AdmissionRequest, snapshot: Snapshot, config: AdmissionConfig) -> None:
    """Raise TooManyRequestsError if one more ring would exceed the phone's cap in any window."""
    callback, others = request.callback, snapshot.of_phone(request.callback.client_phone)
    rings = [ring for one in others for ring in one.rings(config.ring_time, request.now)]
    if exceeds_any(rings, callback.ring, config.per_phone) or _too_many_planned(request, snapshot):
        raise TooManyRequestsError(
            "quota_phone",
            "This number has been asked for often enough for now. Please try again later.",
            retry_after=_RETRY_AFTER.total_seconds(),
        )


def _too_many_planned(request: AdmissionRequest, snapshot: Snapshot) -> bool:
    callback = request.callback
    if callback.planned_time is None or callback.api_key is not None:
        return False
    waiting = [
        one
        for one in snapshot.of_phone(callback.client_phone)
        if one.by_visitor
        and one.status in ACTIVE_STATUSES
        and one.planned_time is not None
        and one.planned_time > request.now
    ]
    return len(waiting) >= MOST_PLANNED
