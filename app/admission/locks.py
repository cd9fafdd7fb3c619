"""The names that a request locks, see `outbox.advisory_locks`: all that its decision depends on."""

from collections.abc import Iterator

from app.admission.admission_request import AdmissionRequest
from app.admission.snapshot import buckets_of
from app.outbox.advisory_locks import phone_name


def lock_names(request: AdmissionRequest) -> Iterator[str]:
    """Yield the names: phone, request key, nonce, the request named with `again`, address in each width, and site."""
    callback = request.callback
    yield phone_name(callback.client_phone)
    yield f"site:{callback.site}"
    if request.key is not None:
        yield f"key:{request.key.scope}:{request.key.key}"
    if request.nonce is not None:
        yield f"nonce:{request.nonce}"
    if callback.again is not None:
        yield f"callback:{callback.again}"
    for _, bucket, _ in buckets_of(callback):
        yield f"address:{bucket}"
