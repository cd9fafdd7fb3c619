"""The end of a service on systems that can't tell who waits at the door."""

import asyncio
import socket

import pytest

from app.edge.newcomers import empty_the_queue


def test_a_system_without_that_question_lets_the_service_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "TCP_INFO")  # macOS has none
    with socket.create_server(("127.0.0.1", 0)) as door:
        asyncio.run(empty_the_queue([door.fileno()]))
