"""The filter on the log records of the HTTP library."""

import asyncio
import logging

import httpx2
import pytest

from app.chaser.log_redaction import LOGGERS, quiet
from tests.chaser.account import answering, connected
from tests.chaser.raw_server import raw_server


@pytest.mark.parametrize("name", LOGGERS)
def test_only_the_name_of_an_event_of_ours_is_logged(name: str, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    with quiet():
        logging.getLogger(name).debug("receive_response_headers.complete return_value=%r", "secret")
    logging.getLogger(name).debug("an event of %s", "others")
    assert caplog.messages == ["receive_response_headers.complete", "an event of others"]


async def test_a_request_of_another_task_is_logged_in_full_while_ours_runs(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    ours_runs, theirs_is_done = asyncio.Event(), asyncio.Event()

    async def ours() -> None:
        with quiet():
            ours_runs.set()
            await theirs_is_done.wait()

    async with raw_server(answering("200 OK", b"", "X-Shown: in full")) as server:
        task = asyncio.create_task(ours())
        await ours_runs.wait()
        async with httpx2.AsyncClient(trust_env=False) as others:
            await others.get(server.url)
        theirs_is_done.set()
        await task
    assert "in full" in caplog.text
    assert "HTTP Request: GET" in caplog.text


async def test_our_requests_are_not_logged_above_debug(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    async with connected(answering("200 OK", b"[]")) as (_, chaser):
        await chaser.websites()
    assert caplog.messages == []


@pytest.mark.parametrize("name", ["httpx2", "httpcore2", *LOGGERS])
def test_levels_and_handlers_are_left_to_the_program(name: str):
    logger = logging.getLogger(name)
    assert (logger.level, logger.handlers, logger.propagate, logger.disabled) == (logging.NOTSET, [], True, False)
