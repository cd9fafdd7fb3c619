"""Hostile requests: every hostile value in every field, header and target, with the canary wherever possible."""

import itertools
import json
from collections.abc import Iterator
from typing import Final

from app.intake.callback_request import CallbackRequest
from tests.abuse.heads import HEADER_NAMES, HEADER_VALUES, METHODS, TARGETS, TYPES
from tests.abuse.wire import Headers, HostileRequest
from tests.abuse.written import ENCODINGS, NAMES, VALUES, WHOLE
from tests.running import API_KEY, ORIGIN

CANARY_SLOT: Final = "zqcanaryqz"
"""Placeholder of the canary; `with_canary` replaces it by that of the run."""
PHONE: Final = "89160000099"
GOOD: Final = {"site": "shop", "client_phone": PHONE}
JSON_TYPE: Final = (b"Content-Type", b"application/json")
PAGE: Final[Headers] = ((b"Origin", ORIGIN.encode()), JSON_TYPE)
KEY: Final[Headers] = ((b"Authorization", b"Bearer " + API_KEY.encode()), JSON_TYPE)
_LARGEST = 16 * 1024

FIELDS: Final = tuple(CallbackRequest.model_fields)


def with_canary(hostile: HostileRequest, canary: str) -> HostileRequest:
    """Return the request with its placeholders replaced by the canary of this run."""
    slot, real = CANARY_SLOT.encode(), canary.encode()
    headers = tuple((name.replace(slot, real), value.replace(slot, real)) for name, value in hostile.headers)
    return HostileRequest(hostile.method, hostile.target.replace(slot, real), headers, hostile.body.replace(slot, real))


def corpus() -> Iterator[HostileRequest]:
    """Yield every fixed request."""
    yield from bodies()
    yield from _types()
    yield from _headers()
    yield from addresses()


def bodies() -> Iterator[HostileRequest]:
    """Yield a body for every value in every field, for every name of a field, and for every body that is no object."""
    for field, value in itertools.product(FIELDS, VALUES):
        yield _post(with_field(field, value), PAGE if field in GOOD else KEY)
    for name, headers in itertools.product(NAMES, (PAGE, KEY)):
        yield _post(with_field(name, '"zqcanaryqz"'), headers)
        yield _post(with_field("consent", f'{{"accepted":true,"{name}":"zqcanaryqz"}}'), headers)
    for body in WHOLE:
        yield _post(body, PAGE)
        yield _post(body, KEY)
    for encoding in ENCODINGS:
        yield _post(json.dumps(GOOD).encode(encoding), PAGE)
        yield _post(json.dumps({"zqcanaryqz": 1}).encode(encoding), PAGE)


def addresses() -> Iterator[HostileRequest]:
    """Yield every request target with every method."""
    for method, target in itertools.product(METHODS, TARGETS):
        yield HostileRequest(method, target, PAGE, b"zqcanaryqz" if method == b"PUT" else b"")


def with_field(name: str, value: str) -> bytes:
    """Return a body that is valid except for one field; `name` and `value` are JSON text."""
    others = "".join(f'"{field}":"{text}",' for field, text in GOOD.items() if field != name)
    body = f'{{{others}"{name}":{value}}}'.encode("utf-8", "surrogatepass")
    return body if len(body) <= _LARGEST else body[:_LARGEST]


def _post(body: bytes, headers: Headers) -> HostileRequest:
    return HostileRequest(headers=headers, body=body)


def _types() -> Iterator[HostileRequest]:
    body = with_field("referrer", '"https://zqcanaryqz.example/"')
    for media_type in TYPES:
        yield _post(body, (PAGE[0], (b"Content-Type", media_type)))
    yield _post(body, (PAGE[0],))
    yield _post(body, (*PAGE, (b"Content-Type", b"text/zqcanaryqz")))


def _headers() -> Iterator[HostileRequest]:
    body = with_field("referrer", '"https://zqcanaryqz.example/"')
    for name, value in itertools.product(HEADER_NAMES, HEADER_VALUES):
        others = tuple(header for header in PAGE if header[0] != name)
        yield _post(body, (*others, (name, value)))
        yield HostileRequest(b"GET", b"/v1/sites/shop", ((name, value),))
        if name.startswith(b"Access-Control"):
            yield HostileRequest(b"OPTIONS", b"/v1/callbacks", (PAGE[0], (name, value)))
