"""Admission of a request: authorise its sender, replay an earlier answer, detect bots, accept it."""

from collections.abc import Sequence
from dataclasses import replace

from fastapi import Request

from app.edge.api_keys import require_scope, require_site
from app.errors import BadRequestError, FieldError, ForbiddenError, UnprocessableContentError, invalid
from app.intake.bot_detection import hold_reason
from app.intake.build_callback import Sender, build_callback, fingerprint
from app.intake.callback_request import CallbackRequest
from app.net.client_address import Bucket
from app.outbox.blocklist_store import refusal
from app.outbox.callback import AcceptResult, Callback, RequestKey
from app.outbox.used_challenges import Challenge
from app.routes.dependencies import Services


def identify_sender(request: Request, site: str, services: Services, api_key: str | None) -> Sender:
    """Return the sender of a request after checking its rights to the site.

    `api_key` is the name of a verified API key; None: the request needs an allowed `Origin` header instead. Raises
    ForbiddenError if the key or the origin has no right to the site, UnprocessableContentError for an unknown site.
    """
    origin = request.headers.get("origin")
    if api_key is None and origin is None:
        raise ForbiddenError(
            "origin_missing", "A request without an Origin header needs an API key: Authorization: Bearer <key>."
        )
    if site not in services.settings.sites:
        raise invalid([FieldError("site", "unknown_site", "There is no such site in the settings of this service.")])
    if api_key is not None:
        require_scope(api_key, services.api_keys, "callbacks:write")
        require_site(api_key, services.api_keys, site)
    elif origin is not None and not services.origins[site].allows(origin):
        raise ForbiddenError("origin_not_allowed", "The site does not allow this origin: see its ORIGINS setting.")
    return Sender(
        client_ip=str(request.state.client_address),
        buckets=[bucket.key for bucket in request.state.client_buckets],
        origin=origin,
        referer=request.headers.get("referer"),
        api_key=api_key,
    )


def request_key(body: CallbackRequest, sender: Sender, headers: list[str], services: Services) -> RequestKey | None:
    """Return the idempotency key of a request, or None if it has none.

    The key comes from `request_id` in the body or from `headers`, the values of `Idempotency-Key`. Keys are unique
    within the API key, or within the site for visitors. Raises BadRequestError if the values differ.
    """
    keys = {header.strip('"') for header in headers}
    if body.request_id is not None:
        keys.add(body.request_id)
    if len(keys) > 1:
        raise BadRequestError("idempotency_key_mismatch", "request_id and Idempotency-Key differ: send one of them.")
    if not keys:
        return None
    scope = f"key:{sender.api_key}" if sender.api_key else f"site:{body.site}"
    return RequestKey(scope, keys.pop(), fingerprint(body, services.secret))


async def admit(
    body: CallbackRequest, sender: Sender, key: RequestKey | None, buckets: Sequence[Bucket], services: Services
) -> tuple[AcceptResult, Callback | None]:
    """Accept a request, or replay the first answer to it if its idempotency key was used before.

    A replay holds even if the same request would be refused by now: its planned time is past, its challenge has
    expired or the settings have changed. Returns the result and the new callback, which may be None for a replay.
    Raises the ServiceError of the refusal.
    """
    rules = services.rules[body.site]
    try:
        callback, challenge = _build_and_check(body, sender, buckets, services)
        if await _is_blocked(callback, services):
            if challenge is None:
                raise refusal()
            rules = replace(rules, blocked=True)
    except (UnprocessableContentError, ForbiddenError):
        # Look up the key only after a refusal, so that an ordinary request does not pay for a second query.
        accepted = await services.outbox.answered(key) if key else None
        if accepted is None:
            raise
        return accepted, None
    return await services.outbox.accept(callback, key, rules, challenge), callback


async def _is_blocked(callback: Callback, services: Services) -> bool:
    blocked = await services.outbox.blocked()
    by_address = callback.client_ip is not None and blocked.address(callback.client_ip)
    return by_address or blocked.phone(callback.client_phone)


def _build_and_check(
    body: CallbackRequest, sender: Sender, buckets: Sequence[Bucket], services: Services
) -> tuple[Callback, Challenge | None]:
    """Verify the challenge and build the callback. Raises UnprocessableContentError and ForbiddenError."""
    now = services.clock()
    solved = None
    # Verify the proof of work first. Otherwise phone numbers could be tested without it.
    if sender.api_key is None and services.settings.sites[body.site].asks_for_challenge:
        solved = services.challenges.verify(body.challenge, body.site)
    callback = build_callback(body, sender, services.settings, now, origin_allowed=services.origins[body.site].allows)
    if sender.api_key is not None:
        return callback, None
    hold = hold_reason(
        honeypot=body.website,
        age=solved.age if solved else None,
        phone_certain=callback.phone_certain,
        elevated=services.difficulty.is_elevated(buckets),
    )
    return replace(callback, hold=hold), Challenge(solved.nonce, solved.expires_at) if solved else None
