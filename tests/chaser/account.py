"""Account, call and shortcuts shared by the tests of the client."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from app.chaser import Call, ChaserClient, ChaserError
from tests.chaser.raw_server import Connection, RawServer, Script, raw_server

CLIENT_ID, PRIVATE_KEY = "4711", "s3cr3t-Key"
CALL = Call(site_id=12345, client_phone="79161234567", active_page="https://h.example/~a b/?q=%20+[1]")


def client_for(server: RawServer, timeout: float = 10.0, **options: object) -> ChaserClient:
    return ChaserClient(CLIENT_ID, PRIVATE_KEY, api_url=server.url, timeout=timeout, **options)


@asynccontextmanager
async def connected(script: Script, timeout: float = 10.0) -> AsyncIterator[tuple[RawServer, ChaserClient]]:
    async with raw_server(script) as server, client_for(server, timeout) as chaser:
        yield server, chaser


def answering(status: str, body: bytes = b"", *headers: str) -> Script:
    async def script(connection: Connection) -> None:
        await connection.answer(status, body, *headers)

    return script


async def failure_of_call(script: Script, timeout: float = 10.0) -> ChaserError:
    async with connected(script, timeout) as (_, chaser):
        with pytest.raises(ChaserError) as caught:
            await chaser.call(CALL)
    return caught.value
