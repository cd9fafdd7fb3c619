"""Requests as raw bytes, to send invalid ones too, over one keep-alive connection, to send them fast."""

import contextlib
import json
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.running import ORIGIN

Headers = tuple[tuple[bytes, bytes], ...]

_MEMBERS = {"type", "title", "status", "code", "detail", "request_id"}
_CODE = re.compile(r"[a-z][a-z0-9_]{2,40}")
_LONGEST_REFUSAL = 3000
_BELOW_THE_APPLICATION = {"bad_request"}
"""The error below the application, which is sent without checking the origin. No page can cause it."""


@dataclass(frozen=True, slots=True)
class HostileRequest:
    """One request. `target` and `headers` are sent unchanged; Content-Length is added for a body."""

    method: bytes = b"POST"
    target: bytes = b"/v1/callbacks"
    headers: Headers = ()
    body: bytes = b""

    def to_bytes(self) -> bytes:
        """Return the request in HTTP/1.1."""
        lines = [b"%s %s HTTP/1.1" % (self.method, self.target)]
        if not any(name.lower() == b"host" for name, _ in self.headers):
            lines.append(b"Host: service")
        lines += [b"%s: %s" % header for header in self.headers]
        if self.body or self.method in (b"POST", b"PUT", b"PATCH"):
            lines.append(b"Content-Length: %d" % len(self.body))
        return b"\r\n".join(lines) + b"\r\n\r\n" + self.body


@dataclass(frozen=True, slots=True)
class Answer:
    """One response: its raw head, and the parsed status, headers and body."""

    status: int
    head: bytes
    headers: Mapping[str, str]
    body: bytes


class RawConnection:
    """A connection to the service, reopened whenever the service has closed it."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        self._address = host, int(port)
        self._socket: socket.socket | None = None
        self._read = b""
        self.sent = 0

    def send(self, hostile: HostileRequest) -> Answer:
        """Send one request and return its response. Fails without one within 10 s."""
        kept = self._socket is not None
        self.sent += 1
        try:
            return self._exchange(hostile)
        except ConnectionError:
            if not kept:
                raise
            self.close()  # the service may close a keep-alive connection while we write, so retry once on a new one
            return self._exchange(hostile)

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._read = None, b""

    def _exchange(self, hostile: HostileRequest) -> Answer:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, timeout=10)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # An early refusal may close the connection before all of the request is sent.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(hostile.to_bytes())
        head = self._until_blank()
        while head.startswith(b"HTTP/1.1 100"):
            head = self._until_blank()
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status = int(status_line.split(" ")[1])
        no_body = hostile.method == b"HEAD" or status in (204, 304)
        body = b"" if no_body else self._exactly(int(headers.get("content-length", 0)))
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(status, head, headers, body)

    def _until_blank(self) -> bytes:
        while b"\r\n\r\n" not in self._read:
            self._receive()
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        return head

    def _exactly(self, size: int) -> bytes:
        while len(self._read) < size:
            self._receive()
        body, self._read = self._read[:size], self._read[size:]
        return body

    def _receive(self) -> None:
        assert self._socket is not None
        received = self._socket.recv(65536)
        if not received:
            raise ConnectionResetError("closed within a response")
        self._read += received


def assert_harmless(hostile: HostileRequest, answer: Answer, canary: str) -> str | None:
    """Check the guarantees of every response to any request. Return the code of a refusal, None without one."""
    everything = answer.head + b"\n" + answer.body
    assert answer.status < 500, (hostile, answer)
    assert canary.lower().encode() not in everything.lower(), (hostile, answer)
    if answer.status < 400:
        return None
    assert answer.headers["content-type"] == "application/problem+json", (hostile, answer)
    assert len(everything) < _LONGEST_REFUSAL, (hostile, answer)
    if hostile.method == b"HEAD":
        return None
    problem = json.loads(answer.body)
    assert problem["request_id"] == answer.headers["x-request-id"]
    if problem["code"] not in _BELOW_THE_APPLICATION:
        _assert_readable(hostile, answer)
    assert problem.keys() - {"errors"} == _MEMBERS, (hostile, answer)
    assert problem["status"] == answer.status
    for code in (problem["code"], *[error["code"] for error in problem.get("errors", [])]):
        assert _CODE.fullmatch(code), (hostile, answer)
    return str(problem["code"])


def _assert_readable(hostile: HostileRequest, answer: Answer) -> None:
    """Check that a page of an allowed origin can read its refusal, and no other page can."""
    origins = [value for name, value in hostile.headers if name.lower() == b"origin"]
    allowed = answer.headers.get("access-control-allow-origin")
    if origins == [ORIGIN.encode()]:
        assert allowed in (ORIGIN, "*"), (hostile, answer)
    else:
        assert allowed in (None, "*", ORIGIN if ORIGIN.encode() in origins else None), (hostile, answer)


def resident_memory(pid: int) -> int:
    """Return the resident set size of a process in bytes."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024
