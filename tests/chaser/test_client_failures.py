"""Failures of a call over real sockets: was it sent, and may it have been executed?"""

import asyncio
import socket

import httpx2
import pytest

from app.chaser import Call, ChaserClient, NotSent, OutcomeUnknown
from tests.chaser.account import CALL, CLIENT_ID, PRIVATE_KEY, answering, client_for, connected, failure_of_call
from tests.chaser.broken_servers import (
    closed_before_reading,
    compressed_garbage,
    cut_body,
    cut_in_the_head,
    dripping_head,
    dripping_interim_answers,
    endless_head,
    garbage,
    garbage_chunks,
    hanging,
    never_reading,
    read_then_closed,
    read_then_reset,
    reset_before_reading,
    reset_body,
)
from tests.chaser.raw_server import Connection, Script, free_port, raw_server


async def test_a_closed_port_means_not_sent():
    async with ChaserClient(CLIENT_ID, PRIVATE_KEY, api_url=f"http://127.0.0.1:{free_port()}/") as chaser:
        with pytest.raises(NotSent, match="ConnectError"):
            await chaser.call(CALL)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 64 + ".invalid", "a..b"])
async def test_a_name_that_cannot_be_resolved_means_not_sent(host: str):
    async with ChaserClient(CLIENT_ID, PRIVATE_KEY, api_url=f"https://{host}/v1/") as chaser:
        with pytest.raises(NotSent):
            await chaser.call(CALL)


async def test_a_deadline_that_passes_while_connecting_means_not_sent():
    # The kernel completes connections only up to the backlog, and drops later SYNs.
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            address = f"http://127.0.0.1:{full.getsockname()[1]}/"
            async with ChaserClient(CLIENT_ID, PRIVATE_KEY, api_url=address, timeout=0.2) as chaser:
                with pytest.raises(NotSent, match="deadline"):
                    await chaser.call(CALL)
        finally:
            for filler in fillers:
                filler.close()


async def test_a_deadline_that_passes_during_the_tls_handshake_means_not_sent():
    closed = asyncio.Event()

    async def mute(connection: Connection) -> None:
        await connection.reader.read()
        closed.set()

    async with raw_server(mute) as server:
        server.scheme = "https"
        async with client_for(server, timeout=0.3) as chaser:
            with pytest.raises(NotSent, match="deadline"):
                await chaser.call(CALL)
        await closed.wait()


async def test_a_certificate_that_is_not_trusted_means_not_sent():
    async with raw_server(answering("200 OK"), tls=True) as server, client_for(server) as chaser:
        with pytest.raises(NotSent, match="certificate verify failed"):
            await chaser.call(CALL)
    assert server.received == b""


async def test_a_server_that_does_not_speak_tls_means_not_sent():
    async def plain(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with raw_server(plain) as server:
        server.scheme = "https"
        async with client_for(server) as chaser:
            with pytest.raises(NotSent):
                await chaser.call(CALL)


async def test_a_deadline_that_passes_while_waiting_for_a_connection_of_the_pool_means_not_sent():
    arrived = asyncio.Event()

    async def hanging(connection: Connection) -> None:
        await connection.read_request()
        arrived.set()
        await connection.reader.read()

    one_connection = httpx2.AsyncHTTPTransport(trust_env=False, limits=httpx2.Limits(max_connections=1))
    async with raw_server(hanging) as server:
        first = client_for(server, transport=one_connection)
        async with client_for(server, timeout=0.2, transport=one_connection) as second:
            occupying = asyncio.create_task(first.call(CALL))
            await arrived.wait()
            with pytest.raises(NotSent, match="deadline"):
                await second.call(CALL)
            occupying.cancel()
            with pytest.raises(asyncio.CancelledError):
                await occupying


@pytest.mark.parametrize("failure", [httpx2.PoolTimeout(""), httpx2.ConnectTimeout(""), httpx2.ConnectError("")])
async def test_a_transport_that_fails_before_it_reads_the_body_has_not_sent_it(failure: Exception):
    class Failing(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            raise failure

    async with ChaserClient(CLIENT_ID, PRIVATE_KEY, transport=Failing()) as chaser:
        with pytest.raises(NotSent, match=type(failure).__name__):
            await chaser.call(CALL)


@pytest.mark.parametrize("reads_the_body", [False, True])
async def test_a_connection_is_closed_if_the_body_was_not_read_and_left_to_its_transport_otherwise(
    reads_the_body: bool,
):
    closed = []

    class Stream:
        async def aclose(self) -> None:
            closed.append(self)

    class Breaking(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            await request.extensions["trace"]("connection.connect_tcp.complete", {"return_value": Stream()})
            if reads_the_body:
                await request.aread()
            raise httpx2.ReadError("")

    async with ChaserClient(CLIENT_ID, PRIVATE_KEY, transport=Breaking()) as chaser:
        with pytest.raises(OutcomeUnknown if reads_the_body else NotSent):
            await chaser.call(CALL)
    assert len(closed) == (0 if reads_the_body else 1)


async def test_an_unexpected_error_after_the_body_was_sent_is_an_unknown_outcome():
    class Breaking(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            await request.aread()
            raise LookupError(request.url)

    async with ChaserClient(CLIENT_ID, PRIVATE_KEY, transport=Breaking()) as chaser:
        with pytest.raises(OutcomeUnknown, match=r"LookupError$"):
            await chaser.call(CALL)


@pytest.mark.parametrize(
    "script",
    [
        closed_before_reading,
        reset_before_reading,
        read_then_reset,
        read_then_closed,
        garbage,
        cut_in_the_head,
        endless_head,
    ],
)
async def test_a_call_without_a_response_is_unknown(script: Script):
    error = await failure_of_call(script)
    assert type(error) is OutcomeUnknown
    assert error.status is None


@pytest.mark.parametrize("script", [hanging, never_reading, dripping_head, dripping_interim_answers])
async def test_the_deadline_ends_every_wait_for_a_response_and_the_outcome_is_unknown(script: Script):
    error = await failure_of_call(script, timeout=1.0)
    assert type(error) is OutcomeUnknown
    assert "deadline" in str(error)


@pytest.mark.parametrize("script", [cut_body, reset_body, garbage_chunks, compressed_garbage])
async def test_a_200_with_a_broken_body_is_a_success(script: Script):
    async with connected(script) as (_, chaser):
        result = await chaser.call(CALL)
    assert result.status == 200
    assert result.body_excerpt == "begun"


async def test_a_deadline_that_passes_while_the_body_is_sent_is_an_unknown_outcome():
    long = Call(site_id=1, client_phone="79161234567", referrer="x" * 9_000_000)
    async with connected(never_reading, timeout=1.0) as (_, chaser):
        with pytest.raises(OutcomeUnknown, match="deadline"):
            await chaser.call(long)


async def test_a_200_with_a_body_that_drips_past_the_deadline_is_a_success():
    async def dripping_body(connection: Connection) -> None:
        await connection.read_request()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        await connection.drip(b"y")

    async with connected(dripping_body, timeout=1.0) as (_, chaser):
        result = await chaser.call(CALL)
    assert set(result.body_excerpt) <= {"y"}


async def test_a_cancellation_is_raised_unchanged_and_the_connection_is_closed():
    arrived, closed = asyncio.Event(), asyncio.Event()

    async def waiting(connection: Connection) -> None:
        await connection.read_request()
        arrived.set()
        await connection.reader.read()
        closed.set()

    async with connected(waiting) as (_, chaser):
        task = asyncio.create_task(chaser.call(CALL))
        await arrived.wait()
        task.cancel("because")
        with pytest.raises(asyncio.CancelledError, match="because"):
            await task
        assert task.cancelled()
        await closed.wait()


async def test_a_timeout_of_the_caller_raises_the_callers_timeout_error():
    async with connected(hanging) as (_, chaser):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await chaser.call(CALL)
