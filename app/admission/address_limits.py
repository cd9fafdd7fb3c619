"""The limits of an address: how many requests and different phones it may send. Pure.

Of several limits the longest refuses, because its sender is no single visitor. The shorter ones hold: a burst may be
an office, so an operator decides.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from app.admission.admission_request import AdmissionRequest, Quotas
from app.admission.snapshot import ANY_SITE, Snapshot, buckets_of
from app.errors import TooManyRequestsError
from app.outbox.rings import Limits

PHONES_A_MINUTE: Final = 20
"""How many different phones an address may ask for within `PHONES_WINDOW` over all sites. Others are held."""
PHONES_WINDOW: Final = timedelta(minutes=1)

_DETAILS: Final = {
    "quota_client": "Too many requests from your network. Please try again later.",
    "quota_client_phones": "Too many different numbers from your network. Please try again later.",
}


def check_address(request: AdmissionRequest, snapshot: Snapshot, quotas: Quotas) -> bool:
    """Return whether an address exceeds one of its shorter limits with a request: a burst.

    Raises TooManyRequestsError beyond the longest limit, with the time until a request leaves its window.
    """
    burst = False
    for column, bucket, times in buckets_of(request.callback):
        here = snapshot.requests.get((column, bucket, request.callback.site), [])
        requested = sorted((at for at, _ in here), reverse=True)
        phones = _newest_of_others(request, here)
        burst |= _check(request, "quota_client", requested, quotas.per_address, times)
        burst |= _check(request, "quota_client_phones", phones, quotas.per_address_phones, times)
        everywhere = _newest_of_others(request, snapshot.requests.get((column, bucket, ANY_SITE), []))
        burst |= _count(request, everywhere, PHONES_WINDOW) >= PHONES_A_MINUTE * times
    return burst


def _newest_of_others(request: AdmissionRequest, requests: Sequence[tuple[datetime, str]]) -> list[datetime]:
    """Return when each other phone was asked for last, the newest first."""
    phones = {phone: at for at, phone in sorted(requests) if phone != request.callback.client_phone}
    return sorted(phones.values(), reverse=True)


def _check(request: AdmissionRequest, code: str, newest: Sequence[datetime], limits: Limits, times: int) -> bool:
    """Return whether a shorter limit is reached. Raises TooManyRequestsError for the longest one."""
    burst = False
    for limit in limits:
        amount, window = limit.amount * times, limit.window
        if _count(request, newest, window) < amount:
            continue
        if limit is limits[-1]:
            wait = min(newest[amount - 1] + window - request.now, window)
            raise TooManyRequestsError(code, _DETAILS[code], retry_after=wait.total_seconds())
        burst = True
    return burst


def _count(request: AdmissionRequest, newest: Sequence[datetime], window: timedelta) -> int:
    return sum(at > request.now - window for at in newest)
