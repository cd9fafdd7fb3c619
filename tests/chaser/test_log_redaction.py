"""Redaction of the HTTP library's log records."""

import asyncio
import logging

import httpx2
import pytest

from app.chaser.log_redaction import LOGGERS, redact_logs
from tests.chaser.account import answering, connected
from tests.chaser.raw_server import raw_server


@pytest.mark.parametrize("name", LOGGERS)
def test_only_the_event_name_of_our_requests_is_logged(name: str, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    with redact_logs():
        logging.getLogger(name).debug("receive_response_headers.complete return_value=%r", "secret")
    logging.getLogger(name).debug("an event of %s", "another request")
    assert caplog.messages == ["receive_response_headers.complete", "an event of another request"]


async def test_a_concurrent_request_of_another_task_is_logged_in_full(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    started, other_is_done = asyncio.Event(), asyncio.Event()

    async def our_request() -> None:
        with redact_logs():
            started.set()
            await other_is_done.wait()

    async with raw_server(answering("200 OK", b"", "X-Shown: in full")) as server:
        task = asyncio.create_task(our_request())
        await started.wait()
        async with httpx2.AsyncClient(trust_env=False) as other:
            await other.get(server.url)
        other_is_done.set()
        await task
    assert "in full" in caplog.text
    assert "HTTP Request: GET" in caplog.text


async def test_our_requests_are_not_logged_above_debug(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    async with connected(answering("200 OK", b"[]")) as (_, chaser):
        await chaser.websites()
    assert caplog.messages == []


@pytest.mark.parametrize("name", ["httpx2", "httpcore2", *LOGGERS])
def test_levels_and_handlers_of_the_loggers_are_unchanged(name: str):
    logger = logging.getLogger(name)
    assert (logger.level, logger.handlers, logger.propagate, logger.disabled) == (logging.NOTSET, [], True, False)
