"""GET /openapi.json and /docs: the OpenAPI document, with every refusal an endpoint may give, and a page to read it."""

import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
from typing import Any, Final, Literal, get_args

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from pydantic import BaseModel, Field
from starlette.responses import HTMLResponse, JSONResponse

from app.errors import MEDIA_TYPE, reason_phrase
from app.routes.schemas import EXAMPLES

_KEY: Final = "key"
KEY_OPTIONAL: Final[dict[str, Any]] = {"security": [{}, {_KEY: []}]}
"""For ``openapi_extra`` of an endpoint that does without an API key, and does more with one.

Endpoints that may answer 401 are otherwise taken to need one.
"""
_KEY_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": (
        "A key from `chaser-callback api-key new`, sent from server to server and never from a page. Its scopes say "
        "what it may do: `callbacks:write`, `callbacks:read`, `chaser:read`; it may be bound to sites."
    ),
}
Code = Literal[400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 431, 500, 502, 503, 504]
_EVERYWHERE: Final[tuple[Code, ...]] = (400, 405, 408, 413, 431, 500)
_REFUSALS: Final[dict[int, tuple[str, str, str, str]]] = {
    400: ("Malformed", "The request can't be read.", "malformed", "The request can't be read: send one JSON object."),
    401: ("KeyRefused", "No API key, or one that nobody knows.", "invalid_api_key", "This API key is not known here."),
    403: ("Forbidden", "The origin, key or challenge may not do this.", "origin_not_allowed", "This page may not ask."),
    404: ("NotFound", "There is no such thing.", "not_found", "There is nothing at this address."),
    405: ("WrongMethod", "The address takes other methods.", "method_not_allowed", "It doesn't take that method."),
    408: ("TooSlow", "The request did not arrive in time.", "request_timeout", "The request did not arrive in time."),
    409: ("Conflict", "The state of things forbids it.", "conflict", "The state of things forbids it."),
    413: ("TooLarge", "The body is over 16 KiB.", "too_large", "The body is too large: at most 16 KiB."),
    415: ("WrongMediaType", "The body is not JSON in UTF-8.", "not_json", "Send the body as JSON, in UTF-8."),
    422: ("Invalid", "Values are wrong: see errors.", "invalid", "Some values need correction: see errors."),
    429: ("TooMany", "A limit is reached.", "rate_limited", "Too many requests: wait and send it again."),
    431: ("HeadersTooLarge", "The headers are too large, or too many.", "headers_too_large", "They are too large."),
    500: ("Unexpected", "A fault of the service.", "internal", "Something went wrong on our side."),
    502: ("ChaserRefuses", "Chaser refuses this service, or fails.", "account_refused", "Chaser refuses the account."),
    503: ("Unavailable", "Not accepted through no fault of its own.", "storage_unavailable", "It could not be stored."),
    504: (
        "ChaserSilent",
        "Chaser gave no answer.",
        "upstream_timeout",
        "Chaser gave no answer in time: ask again later.",
    ),
}
DESCRIPTION: Final = """
A visitor types a phone number and is called back through Chaser.

- **Keys.** `Authorization: Bearer ccb_…`. A refusal names the scope that is missing. Requests with a key are counted by
  the key, those without by the address they come from.
- **Again.** A request to be called carries an `Idempotency-Key` (or `request_id`): sent again it is the same request.
- **Status.** `held` → `queued` → `sending` → `placed`, `failed` or `unknown` (Chaser's answer was lost: the phone
  may have rung); `cancelled`. `release`, `retry` and `cancel` move a callback where its status allows it.
- **Times** are ISO 8601 in UTC; those you send need a zone. Phones come back in digits with the country code.
- **Refusals** have one shape (RFC 9457): `code` is stable and for programs, `detail` says what to do, `errors` names
  the fields. With 429, 503 and 504 wait as `Retry-After` says, then send the same again.
"""
_EXAMPLE_ID = "5f2b6c1e-8d0f-4a57-9a34-0d6a2f6f7c11"
_CDN = "https://cdn.jsdelivr.net"


class FaultyField(BaseModel):
    """What is wrong with one field: its name, a stable code, and a sentence with the cure."""

    field: str
    code: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    detail: str


class Problem(BaseModel):
    """The shape of every refusal (RFC 9457): ``code`` is stable, ``detail`` is for people, ``errors`` for forms."""

    type: Literal["about:blank"]
    title: str
    status: int = Field(ge=400, le=599)
    code: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    detail: str
    request_id: str = Field(pattern=r"^[0-9a-f-]{36}$")
    errors: list[FaultyField] = Field(default_factory=list)


def documentation_router(app: FastAPI) -> APIRouter:
    """Make the two routes for an application that has none of its own."""
    router = APIRouter(include_in_schema=False)
    page = get_swagger_ui_html(openapi_url="openapi.json", title=app.title, swagger_favicon_url="data:,")
    policy = _policy(bytes(page.body))

    @cache
    def document() -> dict[str, Any]:
        return complete_openapi(app.openapi())

    @router.get("/openapi.json")
    async def openapi() -> JSONResponse:
        return JSONResponse(document())

    @router.get("/docs")
    async def docs(_request: Request) -> HTMLResponse:
        return HTMLResponse(page.body, headers={"Content-Security-Policy": policy})

    return router


def complete_openapi(document: dict[str, Any]) -> dict[str, Any]:
    """Put in what FastAPI doesn't know: every refusal in its one shape, and where an API key is needed."""
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs"), Problem=problem)
    for name, example in EXAMPLES.items():
        schemas[name]["examples"] = [example]
    components["responses"] = {_REFUSALS[status][0]: _refusal(status) for status in get_args(Code)}
    components["securitySchemes"] = {_KEY: _KEY_SCHEME}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _complete(operation, within_limit=path.startswith("/v1/"))
    return document


def _complete(operation: dict[str, Any], *, within_limit: bool) -> None:
    responses = operation["responses"]
    responses.pop("default", None)
    own = [int(status) for status in responses if int(status) >= 400] if within_limit else []
    for status in {*own, *_EVERYWHERE, *((429,) if within_limit else ())}:
        responses[str(status)] = {"$ref": f"#/components/responses/{_REFUSALS[status][0]}"}
    operation["responses"] = dict(sorted(responses.items()))
    if "401" in responses:
        operation.setdefault("security", [{_KEY: []}])


def _refusal(status: Code) -> dict[str, Any]:
    _, description, code, detail = _REFUSALS[status]
    example: dict[str, Any] = {
        "type": "about:blank",
        "title": reason_phrase(status),
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": _EXAMPLE_ID,
    }
    if status == 422:
        example["errors"] = [{"field": "client_phone", "code": "required", "detail": "This field is needed."}]
    headers = {"X-Request-Id": _header("The request_id of the body, and of the log lines", required=True)}
    if status in (409, 429, 503, 504):
        # Of the conflicts only request_in_flight passes by itself.
        headers["Retry-After"] = _header(
            "Seconds to wait, rounded up", required=status != 409, schema={"type": "integer"}
        )
    if status == 401:
        headers["WWW-Authenticate"] = _header("Bearer", required=True)
    if status == 405:
        headers["Allow"] = _header("The methods it takes", required=True)
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}}
    return {"description": description, "headers": headers, "content": content}


def _header(description: str, *, required: bool, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"description": description, "required": required, "schema": schema or {"type": "string"}}


def _policy(page: bytes) -> str:
    """Allow what the page needs and no more: Swagger UI from its CDN, its one script of ours, requests to ourselves."""
    (script,) = re.findall(rb"<script>(.*?)</script>", page, re.DOTALL)
    digest = b64encode(sha256(script).digest()).decode()
    sources = {
        "default-src": "'none'",
        "script-src": f"'sha256-{digest}' {_CDN}",
        "style-src": f"'unsafe-inline' {_CDN}",
        "img-src": "data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in sources.items())
