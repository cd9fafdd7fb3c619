"""Scripted faults: what can go wrong, how it is asked for, and whose turn it is (pure; acted out in wire.py).

Most faults come in two kinds, before and after the request is executed, because that is exactly what a client
cannot see. A fault is used up by requests under /v1/ alone; the control path and the pages never suffer one.
Two faults are older than any request: `refuse` closes the whole API port, and `reset_unread` meets the next
connection to it, whatever that was made for.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Kind:
    """One kind of fault: whether the request is executed (None: as asked), and if it needs the raw connection."""

    executes: bool | None
    raw: bool
    about: str
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
    "slow": Kind(True, False, "executed at once, answered properly after `seconds`", 1.0),
    "status": Kind(None, False, "answers `status` with `headers` and `body`; not executed unless asked"),
}

OF_CONNECTIONS = ("refuse", "reset_unread")
"""The faults that no single request can meet; `path` means nothing to them."""

_FIELDS = {"kind", "times", "path", "execute", "status", "headers", "body", "seconds"}


class FaultError(ValueError):
    """A fault was described wrongly; the message says how."""


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
        """Show the fault as the control path lists it."""
        shown: dict[str, Any] = {"id": self.id, "kind": self.kind, "execute": self.execute, "times": self.times}
        if self.kind == "status":
            shown |= {"status": self.status, "headers": self.headers, "body": self.body}
        return shown | {"path": self.path, "seconds": self.seconds}

    @property
    def name(self) -> str:
        """What the ledger calls it: the kind, and the status if that is what it is."""
        return f"status {self.status}" if self.kind == "status" else self.kind


def read_fault(data: Any) -> Fault:
    """Read a fault from the JSON of the control path. Raises FaultError, naming the field and what it may be.

    `times` is 1 unless given; null means until cleared. `path` is a whole path such as /v1/call; null means any
    under /v1/. `execute` matters for cut_body, garbage, drip, drip_body (default true) and status (default false).
    """
    if not isinstance(data, dict) or not isinstance(data.get("kind"), str) or data["kind"] not in KINDS:
        raise FaultError(f"kind: one of {', '.join(KINDS)}")
    if unknown := set(data) - _FIELDS:
        raise FaultError(f"unknown: {', '.join(sorted(map(str, unknown)))}; known are {', '.join(sorted(_FIELDS))}")
    kind = KINDS[data["kind"]]
    execute = data.get("execute", data["kind"] != "status" if kind.executes is None else kind.executes)
    if not isinstance(execute, bool) or (kind.executes is not None and execute != kind.executes):
        raise FaultError("execute: true or false, and only for faults whose name doesn't say it")
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
    """The faults that wait for their requests, oldest first."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._ids = itertools.count(1)

    def add(self, fault: Fault) -> Fault:
        """Append a fault and give it its id."""
        fault.id = next(self._ids)
        self._faults.append(fault)
        return fault

    def take(self, path: str) -> Fault | None:
        """Find the fault this request meets, if any; one that has met all its requests is forgotten."""
        return self._use(lambda fault: fault.kind not in OF_CONNECTIONS and fault.path in (None, path))

    def take_connection(self) -> Fault | None:
        """Find the fault that a new connection meets, if any."""
        return self._use(lambda fault: fault.kind == "reset_unread")

    def _use(self, meets: Callable[[Fault], bool]) -> Fault | None:
        fault = next((fault for fault in self._faults if meets(fault)), None)
        if fault is not None and fault.times is not None:
            fault.times -= 1
            if fault.times == 0:
                self._faults.remove(fault)
        return fault

    def clear(self, kind: str | None = None) -> None:
        """Forget all faults, or all of one kind."""
        self._faults = [fault for fault in self._faults if kind is not None and fault.kind != kind]

    def to_json(self) -> list[dict[str, Any]]:
        """Show the faults as the control path lists them."""
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
        raise FaultError("body: text, or null for the usual body of that status")
    return value


def _seconds(value: Any) -> float | None:
    if value is not None and (type(value) not in (int, float) or not 0 <= value <= 86_400):
        raise FaultError("seconds: a number from 0 to 86400")
    return None if value is None else float(value)
