"""Scripts of servers that read a request and then fail or send an invalid response."""

import asyncio

from tests.chaser.raw_server import Connection


async def closed_before_reading(connection: Connection) -> None:
    connection.writer.close()


async def reset_before_reading(connection: Connection) -> None:
    await connection.reader.read(1)
    connection.reset()


async def read_then_reset(connection: Connection) -> None:
    await connection.read_request()
    connection.reset()


async def read_then_closed(connection: Connection) -> None:
    await connection.read_request()


async def garbage(connection: Connection) -> None:
    await connection.read_request()
    await connection.send(b"\x00\xff what is this\r\n\r\n")


async def cut_in_the_head(connection: Connection) -> None:
    await connection.read_request()
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Le")


async def endless_head(connection: Connection) -> None:
    await connection.read_request()
    await connection.send(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000)
    await connection.reader.read()


async def hanging(connection: Connection) -> None:
    await connection.read_request()
    await connection.reader.read()


async def never_reading(connection: Connection) -> None:
    await asyncio.sleep(3600)


async def dripping_head(connection: Connection) -> None:
    await connection.read_request()
    await connection.send(b"HTTP/1.1 200 OK\r\nX: ")
    await connection.drip(b"y")


async def dripping_interim_answers(connection: Connection) -> None:
    await connection.read_request()
    await connection.drip(b"HTTP/1.1 103 Early Hints\r\n\r\n")


async def cut_body(connection: Connection) -> None:
    await connection.read_request()
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun")


async def reset_body(connection: Connection) -> None:
    await connection.read_request()
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun")
    await asyncio.sleep(0.1)  # a reset discards data that is still in flight
    connection.reset()


async def garbage_chunks(connection: Connection) -> None:
    await connection.read_request()
    await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\nZZ\r\n")


async def compressed_garbage(connection: Connection) -> None:
    await connection.answer("200 OK", b"begun", "Content-Encoding: gzip")
