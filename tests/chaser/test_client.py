"""The client over real sockets: requests sent and responses handled."""

import asyncio
import ssl
from datetime import UTC, date, datetime

import httpx2
import pytest
from pydantic import SecretStr

from app.chaser import (
    CallResult,
    ChaserClient,
    ChaserError,
    Forbidden,
    InvalidParameter,
    NotFound,
    OutcomeUnknown,
    Rejected,
    Unauthorized,
    Unavailable,
    UnreadableAnswer,
    Website,
)
from app.chaser.client import LARGEST_ANSWER
from app.chaser.signing import request_body
from tests.chaser.account import CALL, CLIENT_ID, PRIVATE_KEY, answering, client_for, connected, failure_of_call
from tests.chaser.raw_server import CERTIFICATE, Connection, free_port, raw_server

# Requests.


async def test_the_body_of_a_call_arrives_byte_for_byte_as_it_was_signed():
    async with connected(answering("200 OK")) as (server, chaser):
        await chaser.call(CALL)
    head, _, body = server.received.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/call HTTP/1.1\r\n")
    assert b"\r\nContent-Type: application/x-www-form-urlencoded" in head
    assert body == request_body(CALL.parameters(), CLIENT_ID, PRIVATE_KEY)
    assert b"active_page=https%3A%2F%2Fh.example%2F%7Ea+b%2F%3Fq%3D%2520%2B%5B1%5D&" in body


async def test_the_query_of_a_get_arrives_byte_for_byte_as_it_was_signed():
    awkward = "7~ [+]%41'\"|\\^`{}<>ключ"
    async with (
        raw_server(answering("200 OK", b"[]")) as server,
        ChaserClient(awkward, PRIVATE_KEY, api_url=server.url) as chaser,
    ):
        await chaser.statistics(12345, date(2026, 2, 1), date(2026, 2, 28), "failed_calls")
    parameters = [
        ("site_id", 12345),
        ("date_from", "01-02-2026"),
        ("date_to", "28-02-2026"),
        ("filter", "failed_calls"),
    ]
    expected = request_body(parameters, awkward, PRIVATE_KEY)
    assert server.received.startswith(b"GET /v1/statistics?" + expected + b" HTTP/1.1\r\n")
    assert b"client_id=7%7E+%5B%2B%5D%2541%27%22" in expected


async def test_websites_sends_only_the_account_and_its_signature():
    async with connected(answering("200 OK", b"[]")) as (server, chaser):
        assert await chaser.websites() == []
    assert server.received.startswith(b"GET /v1/websites?client_id=4711&SecurityKey=d66e602061d9aa6d6f460a7213700c16 ")


@pytest.mark.parametrize("ending", ["", "/", "//"])
async def test_a_url_gets_exactly_one_slash_before_the_method(ending: str):
    async with raw_server(answering("200 OK", b"[]")) as server:
        address = server.url.rstrip("/") + ending
        async with ChaserClient(CLIENT_ID, PRIVATE_KEY, api_url=address) as chaser:
            await chaser.websites()
    assert server.received.startswith(b"GET /v1/websites?")


async def test_every_request_uses_a_new_connection():
    async def keeping_alive(connection: Connection) -> None:
        while True:
            await connection.answer("200 OK", b"[]", "Connection: keep-alive")

    async with connected(keeping_alive) as (server, chaser):
        for _ in range(3):
            await chaser.websites()
            await chaser.call(CALL)
    assert [bytes(one.received).count(b"HTTP/1.1") for one in server.connections] == [1] * 6
    assert server.received.count(b"\r\nConnection: close\r\n") == 6


async def test_the_proxy_variables_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    async with connected(answering("200 OK", b"[]")) as (_, chaser):
        assert await chaser.websites() == []


async def test_no_cookie_is_kept():
    async with connected(answering("200 OK", b"[]", "Set-Cookie: a=b")) as (server, chaser):
        await chaser.websites()
        await chaser.websites()
    assert b"cookie" not in server.received.lower()


async def test_https_works_with_a_transport_that_trusts_the_certificate():
    trusting = httpx2.AsyncHTTPTransport(verify=ssl.create_default_context(cafile=CERTIFICATE), trust_env=False)
    serving = raw_server(answering("200 OK", b"done"), tls=True)
    async with serving as server, client_for(server, transport=trusting) as chaser:
        result = await chaser.call(CALL)
    assert result.body_excerpt == "done"
    assert server.received.endswith(request_body(CALL.parameters(), CLIENT_ID, PRIVATE_KEY))


# Responses.


async def test_websites_returns_typed_values_and_keeps_unknown_fields():
    body = (
        '[{"id":"12345","name":"chaser.ru","title":"","plan":"x"},{"id":54321,"name":"test.ru","title":"Для тестов"}]'
    )
    async with connected(answering("200 OK", body.encode())) as (_, chaser):
        sites = await chaser.websites()
    assert sites == [Website(12345, "chaser.ru", "", {"plan": "x"}), Website(54321, "test.ru", "Для тестов")]


async def test_statistics_items_are_returned_unchanged():
    async with connected(answering("200 OK", b'[{"what":[1,{"ever":null}]}]')) as (_, chaser):
        assert await chaser.statistics(1) == [{"what": [1, {"ever": None}]}]


async def test_the_body_of_a_call_is_kept_up_to_two_kibibytes():
    async with connected(answering("200 OK", b"a" * 100_000)) as (_, chaser):
        result = await chaser.call(CALL)
    assert result == CallResult(200, "a" * 2048, result.duration)
    assert result.duration > 0


@pytest.mark.parametrize(("status", "method"), [("200 OK", "call"), ("404 No", "call"), ("404 No", "websites")])
async def test_the_rest_of_a_body_that_is_not_kept_is_not_waited_for(status: str, method: str):
    closed = asyncio.Event()

    async def sending_a_part(connection: Connection) -> None:
        await connection.read_request()
        await connection.send(f"HTTP/1.1 {status}\r\nContent-Length: 10000\r\n\r\n{'a' * 3000}".encode())
        await connection.reader.read()
        closed.set()

    async with connected(sending_a_part, timeout=3600) as (_, chaser):
        request = chaser.call(CALL) if method == "call" else chaser.websites()
        (result,) = await asyncio.gather(request, return_exceptions=True)
        await closed.wait()
    assert result.status == int(status[:3])
    assert result.body_excerpt == "a" * 2048


async def test_a_response_of_websites_must_not_be_larger_than_the_limit():
    async def endless(connection: Connection) -> None:
        await connection.read_request()
        await connection.send(b"HTTP/1.1 200 OK\r\n\r\n[")
        while True:
            await connection.send(b" " * 65536)

    async with connected(endless) as (_, chaser):
        with pytest.raises(UnreadableAnswer, match=f"larger than {LARGEST_ANSWER} bytes") as caught:
            await chaser.websites()
    assert len(caught.value.body_excerpt) == 2048


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"[1]", b'[{"id":"x"}]', b'[{"id":0}]', b'[{"name":"a"}]'])
async def test_websites_that_are_not_as_documented_are_an_unreadable_answer(body: bytes):
    async with connected(answering("200 OK", body)) as (_, chaser):
        with pytest.raises(UnreadableAnswer) as caught:
            await chaser.websites()
    assert caught.value.status == 200
    assert caught.value.body_excerpt == body.decode()


async def test_statistics_that_are_no_list_are_an_unreadable_answer():
    async with connected(answering("200 OK", b'{"error":1}')) as (_, chaser):
        with pytest.raises(UnreadableAnswer, match="not a JSON list"):
            await chaser.statistics(1)


async def test_a_truncated_response_of_websites_is_unreadable():
    async def cut(connection: Connection) -> None:
        await connection.read_request()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[]")

    async with connected(cut) as (_, chaser):
        with pytest.raises(UnreadableAnswer, match="RemoteProtocolError"):
            await chaser.websites()


# Status codes.


@pytest.mark.parametrize(
    ("status", "headers", "kind", "retry_after"),
    [
        ("401 Unauthorized", [], Unauthorized, None),
        ("403 Forbidden", [], Forbidden, None),
        ("404 Not Found", [], NotFound, None),
        ("400 Bad Request", [], Rejected, None),
        ("408 Request Timeout", [], Rejected, None),
        ("422 Unprocessable", [], Rejected, None),
        ("499 Whatever", [], Rejected, None),
        ("429 Too Many Requests", [], Unavailable, None),
        ("429 Too Many Requests", ["Retry-After: 7"], Unavailable, 7.0),
        ("503 Unavailable", ["Retry-After: 120"], Unavailable, 120.0),
        ("503 Unavailable", ["Retry-After: Fri, 31 Dec 1999 23:59:59 GMT"], Unavailable, 59.0),
        ("503 Unavailable", [], OutcomeUnknown, None),
        ("503 Unavailable", ["Retry-After: soon"], OutcomeUnknown, None),
        ("500 Oops", ["Retry-After: 1"], OutcomeUnknown, 1.0),
        ("502 Bad Gateway", [], OutcomeUnknown, None),
        ("504 Gateway Timeout", [], OutcomeUnknown, None),
        ("301 Moved", ["Location: /v1/other"], OutcomeUnknown, None),
        ("302 Found", ["Location: /v1/other"], OutcomeUnknown, None),
        ("307 Temporary Redirect", ["Location: /v1/other"], OutcomeUnknown, None),
        ("201 Created", [], OutcomeUnknown, None),
        ("202 Accepted", [], OutcomeUnknown, None),
        ("600 Beyond", [], OutcomeUnknown, None),
    ],
)
@pytest.mark.parametrize("method", ["call", "websites", "statistics"])
async def test_every_status_maps_to_its_error(
    method: str, status: str, headers: list[str], kind: type[ChaserError], retry_after: float | None
):
    methods = {
        "call": lambda chaser: chaser.call(CALL),
        "websites": lambda chaser: chaser.websites(),
        "statistics": lambda chaser: chaser.statistics(1),
    }
    new_year = datetime(1999, 12, 31, 23, 59, 0, tzinfo=UTC)
    serving = raw_server(answering(status, b"because", *headers))
    async with serving as server, client_for(server, clock=lambda: new_year) as chaser:
        with pytest.raises(ChaserError) as caught:
            await methods[method](chaser)
    error = caught.value
    assert type(error) is kind
    assert error.status == int(status.split()[0])
    assert error.body_excerpt == "because"
    assert error.retry_after == retry_after
    assert error.duration > 0
    assert len(server.connections) == 1


async def test_a_204_is_unknown_too():
    assert isinstance(await failure_of_call(answering("204 No Content")), OutcomeUnknown)


async def test_the_status_counts_even_if_the_body_of_the_error_is_truncated():
    async def cut(connection: Connection) -> None:
        await connection.read_request()
        await connection.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\nno")

    error = await failure_of_call(cut)
    assert isinstance(error, NotFound)
    assert error.body_excerpt == "no"


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_an_invalid_timeout_is_rejected(timeout: float):
    with pytest.raises(InvalidParameter, match=r"^timeout: "):
        ChaserClient(CLIENT_ID, PRIVATE_KEY, timeout=timeout)


@pytest.mark.parametrize(("client_id", "key", "name"), [("", "k", "client_id"), ("1", "", "private_key")])
def test_an_account_without_id_or_key_is_rejected(client_id: str, key: str, name: str):
    with pytest.raises(InvalidParameter, match=f"^{name}: "):
        ChaserClient(client_id, key)


@pytest.mark.parametrize(("client_id", "key", "name"), [("\ud800", "k", "client_id"), (1, "k\udfff", "private_key")])
def test_an_account_that_utf8_cannot_encode_is_rejected(client_id: str, key: str, name: str):
    with pytest.raises(InvalidParameter, match=f"^{name}: "):
        ChaserClient(client_id, SecretStr(key))
