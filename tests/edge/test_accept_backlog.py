"""Draining the accept backlog on systems that do not report its length."""

import asyncio
import socket

import pytest

from app.edge.accept_backlog import empty_the_queue


def test_without_tcp_info_draining_the_backlog_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "TCP_INFO")  # macOS has none
    with socket.create_server(("127.0.0.1", 0)) as listening:
        asyncio.run(empty_the_queue([listening.fileno()]))
