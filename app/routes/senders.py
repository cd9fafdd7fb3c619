"""The sender of a request and its request key, from the headers and the body."""

from fastapi import Request

from app.edge.api_keys import require_scope, require_site
from app.errors import BadRequestError, FieldError, ForbiddenError, invalid
from app.intake.build_callback import Sender, fingerprint
from app.intake.callback_request import CallbackRequest
from app.outbox.callback import RequestKey
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
