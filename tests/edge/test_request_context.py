"""Context of every request: its id, security headers, log event, and the last error handler."""

import contextlib
import logging
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from starlette.types import Message, Receive, Scope, Send

from app.edge.request_context import RequestContextMiddleware
from app.metrics import Metrics
from tests import log_records
from tests.routes.refusal import CANARY, assert_protected
from tests.running import ORIGIN, Service, phone, service, settings, until


@pytest.fixture(autouse=True)
def log(here: Service, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="app")
    # A response is sent before its event is logged, so the last event of the previous test may still come.
    here.http.get("/livez")
    caplog.clear()
    return caplog


def events(log: pytest.LogCaptureFixture, name: str) -> list[dict[str, Any]]:
    return log_records.events(log.records, name)


def test_every_answer_has_an_id_of_its_own_and_the_security_headers(
    here: Service, log: pytest.LogCaptureFixture
) -> None:
    paths = ["/livez", "/readyz", "/v1/sites/shop", "/v1/callbacks/unknown", "/widget.js", "/docs", "/nowhere"]
    answers = [here.http.get(path, headers={"x-request-id": CANARY}) for path in paths]
    ids = {str(UUID(answer.headers["x-request-id"])) for answer in answers}
    assert len(ids) == len(paths)
    for answer in answers:
        assert_protected(answer)
    # The widget's event is logged after its release is stored. Wait for it, or it would fall into another test.
    until(lambda: len(events(log, "http.request")) == len(paths) - 2)


def test_a_request_is_one_log_event_with_its_route_and_without_its_query(
    here: Service, log: pytest.LogCaptureFixture
) -> None:
    answer = here.http.get(f"/v1/callbacks/{CANARY}?phone={CANARY}")
    until(lambda: bool(events(log, "http.request")))
    (line,) = events(log, "http.request")
    assert (line["method"], line["route"], line["status"]) == ("GET", "/v1/callbacks/{callback_id}", 404)
    assert line["duration_ms"] >= 0
    assert answer.status_code == 404
    assert CANARY not in str(log.records[0].__dict__) + log.text


def test_an_unknown_path_stays_out_of_the_log(here: Service, log: pytest.LogCaptureFixture) -> None:
    here.http.get(f"/{CANARY}")
    until(lambda: bool(events(log, "http.request")))
    assert events(log, "http.request")[0]["route"] is None
    assert CANARY not in log.text


def test_an_unusual_method_stays_out_of_the_log(here: Service, log: pytest.LogCaptureFixture) -> None:
    """httptools accepts some thirty methods; another server might accept any text."""
    here.http.request("MKACTIVITY", "/livez")
    here.http.request("MKACTIVITY", "/nowhere")
    until(lambda: bool(events(log, "http.request")))
    assert [line["method"] for line in events(log, "http.request")] == ["other"]
    assert "MKACTIVITY" not in log.text


def test_a_client_that_disconnects_within_its_request_logs_no_error(
    here: Service, log: pytest.LogCaptureFixture
) -> None:
    host, port = here.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST /v1/callbacks HTTP/1.1\r\nHost: a\r\nOrigin: {ORIGIN}\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: 100\r\n\r\n{{".encode())
    assert here.ask(client_phone=phone()).status_code == 202
    until(lambda: bool(events(log, "callback.accepted")))
    assert events(log, "http.request") == [], "an incomplete request is not logged"
    assert events(log, "http.refused") == []
    assert not [record for record in log.records if record.levelno >= logging.WARNING]


class BrokenClock:
    broken = False

    def __call__(self) -> datetime:
        if self.broken:
            raise RuntimeError(CANARY)
        return datetime.now(UTC)


def test_an_unexpected_error_is_logged_once(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    clock = BrokenClock()
    with service(settings(tmp_path), clock=clock) as here:
        clock.broken = True
        answer = here.ask(client_phone=phone())
        until(lambda: bool(events(log, "http.request")))
        clock.broken = False
    assert answer.status_code == 500
    errors = [record for record in log.records if record.exc_info and record.name.startswith(("app.edge", "uvicorn"))]
    assert [(record.name, record.message) for record in errors] == [
        ("app.edge.request_context", "http.unexpected_error")
    ]
    assert events(log, "http.request")[0]["status"] == 500


def test_an_untrusted_proxy_is_logged_once(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    with service(settings(tmp_path)) as here:
        for host in range(60):
            here.http.get("/livez", headers={"x-forwarded-for": f"192.0.2.{host}"})
    (warning,) = events(log, "edge.untrusted_proxy")
    assert "TRUSTED_PROXIES" in warning["advice"]
    assert warning["level"] == logging.WARNING


SCOPE: Scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "client": ("192.0.2.1", 1), "state": {}}
START: Message = {"type": "http.response.start", "status": 200, "headers": []}
BODY: Message = {"type": "http.response.body", "body": b"", "more_body": True}


@contextlib.asynccontextmanager
async def answered(*messages: Message) -> Any:
    """Yield the middleware around an application that sends some messages and raises, and the messages it sent."""
    sent: list[Message] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)
        raise RuntimeError(CANARY)

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    yield RequestContextMiddleware(application, (), Metrics()), SCOPE | {"state": {}}, receive, send, sent


async def test_an_error_before_the_response_becomes_a_500() -> None:
    async with answered() as (middleware, scope, receive, send, sent):
        await middleware(scope, receive, send)
    assert sent[0]["status"] == 500
    assert b'"code":"internal"' in sent[1]["body"]
    assert CANARY.encode() not in sent[1]["body"]


async def test_an_error_within_a_response_closes_the_connection() -> None:
    async with answered(dict(START, headers=[]), BODY) as (middleware, scope, receive, send, sent):
        with pytest.raises(RuntimeError):
            await middleware(scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]


async def test_an_error_after_the_response_leaves_the_response_unchanged() -> None:
    async with answered(dict(START, headers=[]), dict(BODY, more_body=False)) as (
        middleware,
        scope,
        receive,
        send,
        sent,
    ):
        await middleware(scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[0]["status"] == 200


@pytest.mark.parametrize(
    ("media_type", "policy"),
    [
        (b"text/html; charset=utf-8", "frame-ancestors 'none'"),
        (b"text/javascript", "default-src 'none'; frame-ancestors 'none'"),
        (b"application/json", "default-src 'none'; frame-ancestors 'none'"),
    ],
)
async def test_a_page_may_run_its_scripts_and_other_media_types_may_do_nothing(media_type: bytes, policy: str) -> None:
    start = dict(START, headers=[(b"content-type", media_type)])
    async with answered(start, dict(BODY, more_body=False)) as (middleware, scope, receive, send, sent):
        await middleware(scope, receive, send)
    assert dict(sent[0]["headers"])[b"content-security-policy"].decode() == policy


async def test_a_response_may_have_its_own_policy() -> None:
    start = dict(START, headers=[(b"content-type", b"text/html"), (b"content-security-policy", b"script-src 'self'")])
    async with answered(start, dict(BODY, more_body=False)) as (middleware, scope, receive, send, sent):
        await middleware(scope, receive, send)
    assert [value for name, value in sent[0]["headers"] if name == b"content-security-policy"] == [b"script-src 'self'"]


async def test_other_scopes_than_http_pass_unchanged() -> None:
    seen: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def nothing(*_: Any) -> Any:
        return {}

    await RequestContextMiddleware(application, (), Metrics())({"type": "lifespan"}, nothing, nothing)
    assert seen == ["lifespan"]
