"""GET /openapi.json and /docs: the OpenAPI document, completed with every error response, and Swagger UI."""

import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
from typing import Any, Final, Literal, get_args

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from pydantic import BaseModel, Field
from starlette.responses import HTMLResponse, JSONResponse, Response

from app.errors import MEDIA_TYPE, reason_phrase
from app.routes.schemas import EXAMPLES

_KEY: Final = "key"
KEY_OPTIONAL: Final[dict[str, Any]] = {"security": [{}, {_KEY: []}]}
"""The `openapi_extra` of an endpoint with an optional API key.

Without it an endpoint that may respond with 401 is documented as one that requires a key.
"""
_KEY_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": (
        "A key from `chaser-callback api-key new`. Send it from server to server, never from a page. Its scopes are "
        "`callbacks:write`, `callbacks:read` and `chaser:read`. It may be bound to sites."
    ),
}
Code = Literal[400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 431, 500, 502, 503, 504]
_EVERYWHERE: Final[tuple[Code, ...]] = (400, 405, 408, 413, 431, 500)
_ERRORS: Final[dict[int, tuple[str, str, str, str]]] = {
    400: ("BadRequest", "The request can't be read.", "malformed", "The request can't be read: send one JSON object."),
    401: ("Unauthorized", "The API key is missing or unknown.", "invalid_api_key", "This API key is not known here."),
    403: (
        "Forbidden",
        "The origin, the API key or the challenge does not allow this.",
        "origin_not_allowed",
        "The site does not allow this origin: see its ORIGINS setting.",
    ),
    404: ("NotFound", "There is no such resource.", "not_found", "There is nothing at this address."),
    405: (
        "MethodNotAllowed",
        "The path has other methods: see Allow.",
        "method_not_allowed",
        "This address doesn't take that method.",
    ),
    408: (
        "RequestTimeout",
        "The request did not arrive in time.",
        "request_timeout",
        "The request did not arrive in time.",
    ),
    409: (
        "Conflict",
        "The present state does not allow this.",
        "request_in_flight",
        "The same request is being processed: send it again in a second to get its response.",
    ),
    413: ("ContentTooLarge", "The body is over 16 KiB.", "too_large", "The body is too large: at most 16 KiB."),
    415: ("UnsupportedMediaType", "The body is not JSON in UTF-8.", "not_json", "Send the body as JSON, in UTF-8."),
    422: (
        "UnprocessableContent",
        "Values are invalid: see errors.",
        "invalid",
        "Some values need correction: see errors.",
    ),
    429: (
        "TooManyRequests",
        "A rate limit or a quota is reached.",
        "rate_limited",
        "Too many requests: wait and send it again.",
    ),
    431: (
        "HeadersTooLarge",
        "The headers are too large or too many.",
        "headers_too_large",
        "The headers are too large.",
    ),
    500: (
        "InternalError",
        "An error of this service.",
        "internal",
        "Something went wrong on our side. Please try again.",
    ),
    502: ("BadGateway", "Chaser refuses this service, or fails.", "account_refused", "Chaser refuses the account."),
    503: (
        "ServiceUnavailable",
        "The service, or Chaser, is unavailable for the moment.",
        "storage_unavailable",
        "The request could not be stored: send it again.",
    ),
    504: (
        "GatewayTimeout",
        "Chaser did not respond in time.",
        "upstream_timeout",
        "Chaser did not respond in time: try again later.",
    ),
}
DESCRIPTION: Final = """
A visitor types a phone number and is called back through Chaser.

- **API keys.** `Authorization: Bearer ccb_…`. A 403 names the missing scope. Rate limits count requests by API key,
  those without one by client address.
- **Idempotency.** Send an `Idempotency-Key` (or `request_id`) with a request for a callback. Sent again, it is the same
  request.
- **Status.** `held` → `queued` → `sending` → `placed`, `failed` or `unknown` (Chaser's response was lost: the phone
  may have rung). Or `cancelled`; or `duplicate`, if another callback covers the request. `release`, `retry` and
  `cancel` move a callback where its status allows it. Without an API key only `queued`, `placed`, `failed` and
  `unknown` are shown.
- **Times** are ISO 8601 in UTC. Times that you send need a time zone. Phones are returned in digits with the country
  code.
- **Errors** are problem documents (RFC 9457). `code` is stable and for programs, `detail` says what to do, `errors`
  lists invalid fields. After 429, 503 and 504 wait for `Retry-After`, then send the same request again.
"""
_EXAMPLE_ID = "5f2b6c1e-8d0f-4a57-9a34-0d6a2f6f7c11"
_CDN = "https://cdn.jsdelivr.net"


class FieldProblem(BaseModel):
    """An invalid field: its name, a stable code, and a sentence with the fix."""

    field: str
    code: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    detail: str


class Problem(BaseModel):
    """An error response (RFC 9457). `code` is stable, `detail` is for people, `errors` lists invalid fields."""

    type: Literal["about:blank"]
    title: str
    status: int = Field(ge=400, le=599)
    code: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    detail: str
    request_id: str = Field(pattern=r"^[0-9a-f-]{36}$")
    errors: list[FieldProblem] = Field(default_factory=list)


def documentation_router(app: FastAPI) -> APIRouter:
    """Return the router of /openapi.json and /docs for an application without FastAPI's own ones."""
    router = APIRouter(include_in_schema=False)
    page = get_swagger_ui_html(openapi_url="openapi.json", title=app.title, swagger_favicon_url="data:,")
    policy = _policy(bytes(page.body))

    @cache
    def document() -> bytes:
        return bytes(JSONResponse(complete_openapi(app.openapi())).body)

    @router.get("/openapi.json")
    async def openapi() -> Response:
        return Response(document(), media_type="application/json")

    @router.get("/docs")
    async def docs(_request: Request) -> HTMLResponse:
        return HTMLResponse(page.body, headers={"Content-Security-Policy": policy})

    return router


def complete_openapi(document: dict[str, Any]) -> dict[str, Any]:
    """Add every error response and the required API keys to FastAPI's document, and return it.

    The document is changed in place.
    """
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs"), Problem=problem)
    for name, example in EXAMPLES.items():
        schemas[name]["examples"] = [example]
    components["responses"] = {_ERRORS[status][0]: _error(status) for status in get_args(Code)}
    components["securitySchemes"] = {_KEY: _KEY_SCHEME}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _complete(path, operation)
    return document


def _complete(path: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    responses.pop("default", None)
    own = [int(status) for status in responses if int(status) >= 400 and (path, status) != ("/readyz", "503")]
    for status in {*own, *_EVERYWHERE, *(() if path == "/livez" else (429,))}:
        responses[str(status)] = {"$ref": f"#/components/responses/{_ERRORS[status][0]}"}
    operation["responses"] = dict(sorted(responses.items()))
    if "401" in responses:
        operation.setdefault("security", [{_KEY: []}])


def _error(status: Code) -> dict[str, Any]:
    _, description, code, detail = _ERRORS[status]
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
    headers = {"X-Request-Id": _header("The request_id of the body and of the log lines", required=True)}
    if status in (409, 429, 503, 504):
        # Retry-After is optional with 409: of the conflicts only request_in_flight ends by itself.
        headers["Retry-After"] = _header(
            "Seconds to wait, rounded up", required=status != 409, schema={"type": "integer"}
        )
    if status == 401:
        headers["WWW-Authenticate"] = _header("Bearer", required=True)
    if status == 405:
        headers["Allow"] = _header("The methods of the path", required=True)
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}}
    return {"description": description, "headers": headers, "content": content}


def _header(description: str, *, required: bool, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"description": description, "required": required, "schema": schema or {"type": "string"}}


def _policy(page: bytes) -> str:
    """Return the Content-Security-Policy of the page: Swagger UI from its CDN, the inline script, our own API."""
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
