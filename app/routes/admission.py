"""May a request come in, and as what: who sends it, is it allowed, was it answered before, does it look human."""

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
    """Identify the sender of a request and check its rights to a site.

    Raises ForbiddenError, and UnprocessableContentError for an unknown site.
    """
    origin = request.headers.get("origin")
    if api_key is None and origin is None:
        raise ForbiddenError("origin_missing", "A request from no page needs an API key: Authorization: Bearer <key>.")
    if site not in services.settings.sites:
        raise invalid([FieldError("site", "unknown_site", "There is no such site in the settings of this service.")])
    if api_key is not None:
        require_scope(api_key, services.api_keys, "callbacks:write")
        require_site(api_key, services.api_keys, site)
    elif origin is not None and not services.origins[site].allows(origin):
        raise ForbiddenError(
            "origin_not_allowed", "This page may not ask for that site: see the site's ORIGINS setting."
        )
    return Sender(
        client_ip=str(request.state.client_address),
        buckets=[bucket.key for bucket in request.state.client_buckets],
        origin=origin,
        referer=request.headers.get("referer"),
        api_key=api_key,
    )


def request_key(body: CallbackRequest, sender: Sender, headers: list[str], services: Services) -> RequestKey | None:
    """Give the one key of a request: from the body or the header, within the API key's or the site's own keys."""
    named = {header.strip('"') for header in headers}
    if body.request_id is not None:
        named.add(body.request_id)
    if len(named) > 1:
        raise BadRequestError("idempotency_key_mismatch", "request_id and Idempotency-Key differ: send one of them.")
    if not named:
        return None
    scope = f"key:{sender.api_key}" if sender.api_key else f"site:{body.site}"
    return RequestKey(scope, named.pop(), fingerprint(body, services.secret))


async def admit(
    body: CallbackRequest, sender: Sender, key: RequestKey | None, buckets: Sequence[Bucket], services: Services
) -> tuple[AcceptResult, Callback | None]:
    """Accept a request, or give what it was answered when it came before under the same key.

    The first answer holds, also when the same request would be refused by now: its planned time is past, its challenge
    has expired, the settings have changed. There is no callback then.
    """
    rules = services.rules[body.site]
    try:
        callback, challenge = _build_and_check(body, sender, buckets, services)
        if await _is_blocked(callback, services):
            if challenge is None:
                raise refusal()
            rules = replace(rules, blocked=True)
    except (UnprocessableContentError, ForbiddenError):
        # Only now, so that an ordinary request costs no look-up of its own.
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
    """Make the callback a request asks for. Raises UnprocessableContentError and ForbiddenError."""
    now = services.clock()
    solved = None
    # First, so that nobody learns anything of a number without having done the work.
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
