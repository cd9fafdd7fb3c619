"""No phone, private key, signature or page of a visitor appears in a log line, a repr or a traceback.

Every method runs against servers that echo the request wherever they can, with all logging on. Then everything that
was logged or raised is searched. That includes the local variables of tracebacks, which error trackers collect.
"""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import SecretStr

from app.chaser import Call, CallResult, ChaserClient, InvalidParameter
from app.chaser.chaser_errors import ChaserError
from app.chaser.signing import request_body
from tests.chaser.broken_servers import cut_body, cut_in_the_head, hanging, never_reading, read_then_reset
from tests.chaser.raw_server import Connection, Script, free_port, raw_server

PRIVATE_KEY = "canary-private-key"
SECRET = Call(
    site_id=12345,
    client_phone="79160001122",
    manager_phone="79160003344",
    active_page="https://canary.example/page",
    client_ip="203.0.113.177",
    message_on_ring="canary-message",
    referrer="https://canary.example/referrer",
)
LONG = Call(site_id=12345, client_phone="79160001122", referrer="canary" * 1_500_000)
SIGNATURES = [
    request_body(parameters, "4711", PRIVATE_KEY).rpartition(b"=")[2].decode()
    for parameters in ([], [("site_id", 12345)], SECRET.parameters(), LONG.parameters())
]
CANARIES = ["canary", "79160001122", "79160003344", "9160001122", "203.0.113.177", *SIGNATURES]

METHODS: dict[str, Callable[[ChaserClient], Awaitable[Any]]] = {
    "websites": lambda chaser: chaser.websites(),
    "statistics": lambda chaser: chaser.statistics(12345),
    "call": lambda chaser: chaser.call(SECRET),
    "long call": lambda chaser: chaser.call(LONG),
}


def canaries_in(text: str) -> list[str]:
    return [canary for canary in CANARIES if canary in text]


def shown(error: BaseException) -> str:
    """Return everything that a logger or error tracker may print of an error."""
    attributes = {name: value for name, value in vars(error).items() if name != "body_excerpt"}
    formatted = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "\n".join([*formatted.format(), repr(error), str(error), repr(error.args), repr(attributes)])


async def outcome(method: str, chaser: ChaserClient) -> Any:
    try:
        return await METHODS[method](chaser)
    except (ChaserError, asyncio.CancelledError) as error:
        return error


def echo_of(request: bytes) -> bytes:
    """Return the signed part of a request: the query of a GET, the body of a POST."""
    head, _, body = request.partition(b"\r\n\r\n")
    return body[:4000] or head.split(b" ")[1]


def echoing(status: bytes) -> Script:
    async def script(connection: Connection) -> None:
        echo = echo_of(await connection.read_request())
        head = b"HTTP/1.1 " + status + b" " + echo + b"\r\nLocation: /" + echo + b"\r\nSet-Cookie: a=" + echo
        await connection.send(head + b"\r\nContent-Length: %d\r\n\r\n" % len(echo) + echo)

    return script


async def echoing_garbage(connection: Connection) -> None:
    await connection.send(echo_of(await connection.read_request()) + b"\r\n\r\n")


async def echoing_json(connection: Connection) -> None:
    echo = echo_of(await connection.read_request())
    await connection.send(b'HTTP/1.1 200 OK\r\n\r\n[{"id":"' + echo + b'"}]')


SCRIPTS: dict[str, Script] = {
    **{f"status {status}": echoing(b"%d" % status) for status in (200, 202, 302, 400, 401, 403, 404, 429, 500, 503)},
    "garbage": echoing_garbage,
    "json": echoing_json,
    "cut body": cut_body,
    "cut head": cut_in_the_head,
    "reset": read_then_reset,
    "hanging": hanging,
    "never reading": never_reading,
}


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """Turn all logging on, and return a function that returns all records logged so far."""
    caplog.set_level(logging.DEBUG)
    return lambda: "\n".join(f"{record.getMessage()} {record.__dict__!r}" for record in caplog.records)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("script", SCRIPTS)
async def test_neither_logs_nor_errors_contain_a_secret(script: str, method: str, logged: Callable[[], str]):
    timeout = 0.5 if script in {"hanging", "never reading"} else 10.0
    async with (
        raw_server(SCRIPTS[script]) as server,
        ChaserClient("4711", PRIVATE_KEY, api_url=server.url, timeout=timeout) as chaser,
    ):
        result = await outcome(method, chaser)
        assert canaries_in(repr(chaser) + repr(vars(chaser))) == []
    if isinstance(result, BaseException):
        assert canaries_in(shown(result)) == []
        assert result.__context__ is None
        assert result.__cause__ is None
    elif isinstance(result, CallResult):
        assert canaries_in(repr(result)) == []
    else:  # the items of `statistics`, which are returned unchanged and so contain the echo
        assert (script, method) == ("json", "statistics")
    assert "send_request_headers.complete" in logged()
    assert canaries_in(logged()) == []


@pytest.mark.parametrize("method", METHODS)
async def test_neither_logs_nor_errors_contain_a_secret_when_nothing_can_be_sent(
    method: str, logged: Callable[[], str]
):
    async with ChaserClient("4711", PRIVATE_KEY, api_url=f"http://127.0.0.1:{free_port()}") as chaser:
        result = await outcome(method, chaser)
    assert canaries_in(shown(result)) == []
    assert "connect_tcp.failed" in logged()
    assert canaries_in(logged()) == []


@pytest.mark.parametrize("method", METHODS)
async def test_a_cancellation_contains_no_secret(method: str, logged: Callable[[], str]):
    arrived = asyncio.Event()

    async def arriving(connection: Connection) -> None:
        await connection.reader.readexactly(10)
        arrived.set()
        await asyncio.sleep(3600)

    async with raw_server(arriving) as server, ChaserClient("4711", PRIVATE_KEY, api_url=server.url) as chaser:
        task = asyncio.create_task(outcome(method, chaser))
        await arrived.wait()
        task.cancel()
        error = await task
    assert isinstance(error, asyncio.CancelledError)
    assert canaries_in(shown(error)) == []
    assert canaries_in(logged()) == []


@pytest.mark.parametrize("key", [PRIVATE_KEY, SecretStr(PRIVATE_KEY)])
def test_the_repr_of_a_client_does_not_contain_its_key(key: str | SecretStr):
    chaser = ChaserClient("4711", key)
    assert canaries_in(repr(chaser) + str(chaser) + repr(vars(chaser))) == []
    assert "4711" in repr(chaser)


def test_the_repr_of_a_call_contains_no_data_of_the_visitor():
    assert canaries_in(repr(SECRET) + str(SECRET)) == []
    assert "site_id=12345" in repr(SECRET)


WRONG_KEY = PRIVATE_KEY + "\ud800"

WRONG_CALLS: dict[str, dict[str, Any]] = {
    "client_phone": {"client_phone": "+79160001122"},
    "manager_phone": {"client_phone": "79160001122", "manager_phone": "8 (9160001122)"},
    "planned_time": {"client_phone": 79160001122, "planned_time": "soon"},
    "active_page": {"client_phone": 79160001122, "active_page": "canary\ud800"},
    "client_ip": {"client_phone": 79160001122, "client_ip": b"203.0.113.177"},
    "message_on_ring": {"client_phone": 79160001122, "message_on_ring": "canary\ud800"},
    "nwt_action": {"client_phone": 79160001122, "nwt_action": "create_lead", "referrer": "canary"},
    "call_stack_interval": {"client_phone": 79160001122, "call_stack_interval": 5, "active_page": "canary"},
    "referrer": {"client_phone": 79160001122, "referrer": "canary\ud800", "message_on_ring": "canary"},
}


@pytest.mark.parametrize("name", WRONG_CALLS)
def test_the_error_of_an_invalid_call_contains_no_data_of_the_visitor(name: str):
    with pytest.raises(InvalidParameter) as caught:
        Call(site_id=1, **WRONG_CALLS[name])
    assert caught.value.parameter == name
    assert canaries_in(shown(caught.value)) == []
    assert "79160001122" not in "".join(traceback.format_exception(caught.value))


def test_the_error_of_an_invalid_private_key_does_not_contain_it():
    with pytest.raises(InvalidParameter) as caught:
        ChaserClient("4711", WRONG_KEY)
    assert canaries_in(shown(caught.value)) == []


def test_the_search_finds_a_secret_that_is_present():
    def with_a_local_variable() -> None:
        phone = 79160001122
        raise ValueError(str(phone)[:1])

    with pytest.raises(ValueError, match="7") as caught:
        with_a_local_variable()
    assert "79160001122" in canaries_in(shown(caught.value))
