"""Scripted faults: their kinds, their JSON, and the next fault for a request. Pure; wire_faults.py performs them.

Most faults exist in two kinds, before and after the request is executed, because a client can't see the difference.
Only requests under /v1/ meet a fault, never the control API and the pages. Two faults don't wait for a request:
`refuse` closes the whole API port, and `reset_unread` resets the next connection to it.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Kind:
    """One kind of fault.

    `executes`: whether the request is executed; None if the script chooses. `needs_connection`: the fault acts on the
    TCP connection, which only the simulator's own server has. `seconds`: the default duration.
    """

    executes: bool | None
    needs_connection: bool
    description: str
    seconds: float | None = None


KINDS: dict[str, Kind] = {
    "refuse": Kind(False, True, "nothing listens on the API port, for `seconds` or until cleared"),
    "reset_unread": Kind(False, True, "the next connection to the API port is reset (RST) before a byte is read"),
    "hang_before": Kind(False, False, "not executed, no answer; closed after `seconds` if given"),
    "hang_after": Kind(True, False, "executed, no answer; closed after `seconds` if given"),
    "reset_before": Kind(False, True, "the request is read, not executed, and the connection reset (RST)"),
    "reset_after": Kind(True, True, "executed, then the connection is reset (RST)"),
    "close_before": Kind(False, True, "not executed, the connection is closed without an answer (FIN)"),
    "close_after": Kind(True, True, "executed, then the connection is closed without an answer (FIN)"),
    "cut_body": Kind(None, True, "the head of the answer and half of its body, then closed"),
    "garbage": Kind(None, True, "bytes that are not HTTP, then closed"),
    "drip": Kind(None, True, "the answer byte by byte, one each `seconds`", 0.2),
    "drip_body": Kind(None, True, "the head of the answer at once, its body byte by byte, one each `seconds`", 0.2),
    "slow": Kind(True, False, "executed at once, answered correctly after `seconds`", 1.0),
    "status": Kind(None, False, "answers `status` with `headers` and `body`; executed only with `execute`"),
}

CONNECTION_FAULTS = ("refuse", "reset_unread")
"""Faults that belong to no single request; `path` has no effect on them."""

_FIELDS = {"kind", "times", "path", "execute", "status", "headers", "body", "seconds"}


class FaultError(ValueError):
    """The JSON of a fault is invalid; the message names the field and its valid values."""


@dataclass
class Fault:
    """One scripted fault. `times` counts down with every request it meets; None means until cleared."""

    kind: str
    execute: bool
    times: int | None = 1
    path: str | None = None
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    seconds: float | None = None
    id: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the fault as JSON of the control API."""
        fields: dict[str, Any] = {"id": self.id, "kind": self.kind, "execute": self.execute, "times": self.times}
        if self.kind == "status":
            fields |= {"status": self.status, "headers": self.headers, "body": self.body}
        return fields | {"path": self.path, "seconds": self.seconds}

    @property
    def name(self) -> str:
        """The name in the ledger: the kind, or `status` with its number."""
        return f"status {self.status}" if self.kind == "status" else self.kind


def read_fault(data: Any) -> Fault:
    """Parse the JSON of the control API. Raises FaultError, which names the field and its valid values.

    `times` is 1 by default; null means until cleared. `path` is a complete path such as /v1/call; null means any under
    /v1/. `execute` can be set for cut_body, garbage, drip, drip_body (default true) and status (default false).
    """
    if not isinstance(data, dict) or not isinstance(data.get("kind"), str) or data["kind"] not in KINDS:
        raise FaultError(f"kind: one of {', '.join(KINDS)}")
    if unknown := set(data) - _FIELDS:
        raise FaultError(f"unknown: {', '.join(sorted(map(str, unknown)))}; known are {', '.join(sorted(_FIELDS))}")
    kind = KINDS[data["kind"]]
    execute = data.get("execute", data["kind"] != "status" if kind.executes is None else kind.executes)
    if not isinstance(execute, bool) or (kind.executes is not None and execute != kind.executes):
        raise FaultError("execute: true or false, and only for cut_body, garbage, drip, drip_body and status")
    return Fault(
        kind=data["kind"],
        execute=execute,
        times=_times(data.get("times", 1)),
        path=_path(data.get("path")),
        status=_status(data.get("status", 503)),
        headers=_headers(data.get("headers", {})),
        body=_body(data.get("body")),
        seconds=_seconds(data.get("seconds", kind.seconds)),
    )


class FaultScript:
    """The scripted faults, oldest first."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._ids = itertools.count(1)

    def add(self, fault: Fault) -> Fault:
        """Append a fault, assign its id and return it."""
        fault.id = next(self._ids)
        self._faults.append(fault)
        return fault

    def next_for_request(self, path: str) -> Fault | None:
        """Return the fault for a request to `path`, or None, and count it. Delete a fault after its last request."""
        return self._next(lambda fault: fault.kind not in CONNECTION_FAULTS and fault.path in (None, path))

    def next_for_connection(self) -> Fault | None:
        """Return the fault for a new connection, or None, and count it."""
        return self._next(lambda fault: fault.kind == "reset_unread")

    def _next(self, matches: Callable[[Fault], bool]) -> Fault | None:
        fault = next((fault for fault in self._faults if matches(fault)), None)
        if fault is not None and fault.times is not None:
            fault.times -= 1
            if fault.times == 0:
                self._faults.remove(fault)
        return fault

    def clear(self, kind: str | None = None) -> None:
        """Delete all faults, or all of one kind."""
        self._faults = [fault for fault in self._faults if kind is not None and fault.kind != kind]

    def to_json(self) -> list[dict[str, Any]]:
        """Return the faults as JSON of the control API."""
        return [fault.to_json() for fault in self._faults]


def _times(value: Any) -> int | None:
    if value is not None and (type(value) is not int or value < 1):
        raise FaultError("times: a whole number from 1, or null for until cleared")
    return value


def _path(value: Any) -> str | None:
    if value is not None and not (isinstance(value, str) and value.startswith("/v1/")):
        raise FaultError("path: a path that begins with /v1/, or null for all of them")
    return value


def _status(value: Any) -> int:
    if type(value) is not int or not 200 <= value <= 599:
        raise FaultError("status: a whole number from 200 to 599")
    return value


def _headers(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(
        isinstance(text, str) and text.isascii() and text.isprintable() for pair in value.items() for text in pair
    ):
        raise FaultError("headers: an object of names and values in printable ASCII")
    return value


def _body(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise FaultError("body: text, or null for the default body of that status")
    return value


def _seconds(value: Any) -> float | None:
    if value is not None and (type(value) not in (int, float) or not 0 <= value <= 86_400):
        raise FaultError("seconds: a number from 0 to 86400")
    return None if value is None else float(value)
