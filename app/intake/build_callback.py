"""Builder of callbacks: normalise the phone, enrich the request, apply the site's settings. Pure, reads no clock.

All errors of a request are reported at once, one for each field.
"""

import json
import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b, sha256
from typing import Any

from app.errors import FieldError, invalid
from app.intake.callback_request import PRIVILEGED, CallbackRequest
from app.intake.page_url import active_page, page_address
from app.intake.phone import Phone, PhoneError, read_phone
from app.intake.scheduling import check_planned_time
from app.intake.working_hours import ring_time
from app.net.client_address import client_network
from app.outbox.callback import Callback
from app.outbox.rings import wanted_time
from app.random_pool import random_bytes
from app.settings import Department, Settings, Site

CALLBACK_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""The form of the ids that `new_id` makes."""


@dataclass(frozen=True, slots=True)
class Sender:
    """The sender of a request as the edge identified it, never from the body.

    `api_key` is the name of the key, None for a visitor. `buckets` are the networks in which quotas count a visitor,
    narrowest first: the address for IPv4; the /64, /56 and /48 for IPv6.
    """

    client_ip: str
    buckets: Sequence[str]
    origin: str | None
    referer: str | None
    api_key: str | None


def build_callback(
    request: CallbackRequest,
    sender: Sender,
    settings: Settings,
    now: datetime,
    *,
    origin_allowed: Callable[[str], bool],
) -> Callback:
    """Build the callback of a request for a known site.

    `now` is the time of acceptance. `origin_allowed` returns whether an origin is one of the site's.
    Raises UnprocessableContentError with an error for each invalid field.
    """
    site = settings.sites[request.site]
    by_key = sender.api_key is not None
    planned = request.planned_time and check_planned_time(site, request.planned_time, now, by_visitor=not by_key)
    errors = [*_privileged(request, sender), *([planned] if planned else []), *_after_hours(request, site)]
    phone = _phone(request.client_phone, site, errors)
    consent = _consent(request, sender, site, now, errors)
    department = site.departments.get(request.department or "")
    if request.department is not None and department is None:
        errors.append(FieldError("department", "unknown_department", "This site has no such department."))
    if errors or phone is None:
        raise invalid(errors)

    terms = department or site
    planned_time = request.planned_time and request.planned_time.astimezone(UTC)
    nwt_action = request.nwt_action or site.nwt_action
    stacked = nwt_action == "always_call"
    start_hour = _first(request.call_stack_start_hour, site.call_stack_start_hour) if stacked else None
    interval = _first(request.call_stack_interval, site.call_stack_interval) if stacked else None
    ring = ring_time(site, nwt_action, start_hour, interval, wanted_time(planned_time, now), now)
    buckets = () if by_key else sender.buckets
    bucket, bucket_56, bucket_48 = [*buckets, None, None, None][:3]
    return Callback(
        id=new_id(now),
        site=request.site,
        account=settings.account_of(request.site),
        chaser_site_id=site.site_id,
        client_phone=phone.digits,
        phone_certain=phone.certain,
        manager_phone=(request.manager_phone or "").lstrip("+") or terms.manager_phone or site.manager_phone,
        planned_time=planned_time,
        active_page=active_page(request.active_page, sender.referer, sender.origin, origin_allowed),
        client_ip=str(request.client_ip or sender.client_ip),
        message_on_ring=_message(request, site, department),
        nwt_action=nwt_action,
        call_stack_start_hour=start_hour,
        call_stack_interval=interval,
        referrer=page_address(request.referrer),
        department=request.department,
        consent=consent,
        api_key=sender.api_key,
        client_bucket=bucket,
        client_bucket_56=bucket_56,
        client_bucket_48=bucket_48,
        created_at=now,
        due_at=now,
        give_up_at=(planned_time or now) + settings.give_up_after,
        call_expected_at=ring.promise,
        rings_at=ring.at,
        rings_until=ring.until,
        client_network=client_network(buckets[-1]) if buckets else None,
        manager_given=by_key and request.manager_phone is not None,
        message_given=by_key and request.message_on_ring is not None,
        again=request.again if CALLBACK_ID.fullmatch(request.again or "") else None,  # anything but an id is ignored
    )


def fingerprint(request: CallbackRequest, secret: bytes) -> str:
    """Return a hash that distinguishes requests with the same idempotency key, without storing their content.

    It has a key, because a plain hash of a phone number can be reversed by trying all numbers. BLAKE2 has keys built in
    (RFC 7693), of at most 64 bytes.
    """
    content = request.model_dump(mode="json", exclude={"request_id", "challenge", "website"}, exclude_none=True)
    return blake2b(json.dumps(content).encode(), key=sha256(secret).digest(), digest_size=32).hexdigest()


def new_id(now: datetime) -> str:
    """Return a UUID version 7 (RFC 9562): ordered by time, which keeps index inserts local, with 74 random bits."""
    milliseconds = int(now.timestamp() * 1000)
    random = int.from_bytes(random_bytes()[:10])
    number = (milliseconds << 80 | random) & ~(0xF << 76 | 0b11 << 62) | 0x7 << 76 | 0b10 << 62
    return str(uuid.UUID(int=number))


def _message(request: CallbackRequest, site: Site, department: Department | None) -> str | None:
    """Return the text that the manager hears: of the request, the department, or the site.

    Without any it is the department's name, unless a manager of its own is phoned. Otherwise nobody would learn of the
    visitor's choice.
    """
    message = request.message_on_ring or (department and department.message_on_ring) or site.message_on_ring
    if message or department is None or request.manager_phone or department.manager_phone:
        return message
    return department.name


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)


def _privileged(request: CallbackRequest, sender: Sender) -> list[FieldError]:
    if sender.api_key is not None:
        return []
    fields = [name for name in PRIVILEGED if getattr(request, name) is not None]
    return [FieldError(name, "needs_api_key", "Only a request with an API key may set this.") for name in fields]


def _after_hours(request: CallbackRequest, site: Site) -> list[FieldError]:
    """Return the errors of the fields for calls outside working hours.

    Without working hours such a call would ring at an unknown time, and the quota of its phone could not count it.
    """
    if (request.nwt_action or site.nwt_action) == "always_call":
        detail = "always_call needs the site's WORKING_HOURS in the settings of this service."
        return [] if site.working_hours else [FieldError("nwt_action", "needs_working_hours", detail)]
    names = ("call_stack_start_hour", "call_stack_interval")
    detail = "This is allowed only with nwt_action = always_call."
    return [FieldError(name, "needs_always_call", detail) for name in names if getattr(request, name) is not None]


def _phone(text: str, site: Site, errors: list[FieldError]) -> Phone | None:
    try:
        return read_phone(text, site.regions)
    except PhoneError as refused:
        errors.append(FieldError("client_phone", refused.code, refused.detail))
        return None


def _consent(
    request: CallbackRequest, sender: Sender, site: Site, now: datetime, errors: list[FieldError]
) -> dict[str, Any] | None:
    """Return the consent receipt to store: time, address, document, and the text shown. Append errors to `errors`.

    A receipt holds only what is known. A page has to name the version that it showed. Its text counts if it is one of
    the site's; any other is stored as `claimed_text`, because anybody can send any text. A service with an API key
    answers for what it passes on.
    """
    consent = request.consent
    if site.consent is None:
        return None
    if consent is None and sender.api_key is not None:
        return None  # the owner's service is responsible for the consent that it collected
    if consent is None or consent is False or (not isinstance(consent, bool) and not consent.accepted):
        errors.append(
            FieldError("consent", "consent_required", "Consent to the processing of personal data is needed.")
        )
        return None
    version, text = (None, None) if isinstance(consent, bool) else (consent.version, consent.text)
    if version is None and sender.api_key is None:
        detail = "Send the version of the document that the visitor saw: GET /v1/sites/{site} has it."
        errors.append(FieldError("consent", "consent_required", detail))
        return None
    if version is not None and version != site.consent.version:
        errors.append(FieldError("consent", "consent_outdated", "The document has changed: reload the page."))
        return None
    is_known = sender.api_key is not None or text is None or " ".join(text.split()) in site.consent_texts
    return {
        "version": version,
        "url": site.consent.url,
        "text": text if is_known else None,
        "at": now.astimezone(UTC).isoformat(),
        "client_ip": str(request.client_ip or sender.client_ip),
    } | ({} if is_known else {"claimed_text": text})
