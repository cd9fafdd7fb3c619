"""The control API under /_control/: read the ledger, set the clock, script faults and results, reset. All in JSON.

It has no authentication and must not be reachable from outside; by default the simulator binds to 127.0.0.1. A POST
needs the content type application/json: a page of another origin can't send that without a CORS preflight.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.simulator.core import Simulator
from app.simulator.fault_script import KINDS, FaultError, read_fault
from app.simulator.live import events, status
from app.simulator.records import FAILED, SUCCESS
from app.simulator.wire_faults import connection_of

GUIDE = {
    "GET /_control/state": "clock, faults, counts and versions",
    "GET /_control/calls": "executed calls; ?since=<seq> and state, result, site_id, client_phone, client_id",
    "GET /_control/requests": "requests to /v1/; ?since=<seq> and method, path, status, fault",
    "GET /_control/events": "server-sent events: what the live page shows",
    "POST /_control/clock": '{"now": unix seconds or ISO 8601} or {"advance": seconds} or '
    '{"to": "night"|"day"|"real"}; with "frozen": true it is stopped',
    "POST /_control/faults": "{kind, times, path, execute, status, headers, body, seconds}; kinds: " + ", ".join(KINDS),
    "DELETE /_control/faults": "delete all faults and open the API port again",
    "POST /_control/results": '{"result": "success"|"failed", "times": n}: the results of the next calls',
    "DELETE /_control/ledger": "delete calls, requests and scripted results",
    "POST /_control/reset": "{}: reset ledger, faults, results and clock",
}


def control_routes(simulator: Simulator) -> list[Route]:
    """Return the routes of the control API of one simulator."""
    return [
        Route(f"/_control/{path}", getattr(_Control(simulator), name), methods=[method])
        for path, name, method in (
            ("", "guide", "GET"),
            ("state", "state", "GET"),
            ("calls", "calls", "GET"),
            ("requests", "requests", "GET"),
            ("events", "events", "GET"),
            ("clock", "set_clock", "POST"),
            ("faults", "faults", "GET"),
            ("faults", "add_fault", "POST"),
            ("faults", "clear_faults", "DELETE"),
            ("results", "script_results", "POST"),
            ("ledger", "clear_ledger", "DELETE"),
            ("reset", "reset", "POST"),
        )
    ]


class _Control:
    """The endpoints: each parses JSON and calls one operation of the simulator."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    async def guide(self, _: Request) -> Response:
        return JSONResponse(GUIDE)

    async def state(self, _: Request) -> Response:
        return JSONResponse(status(self._simulator))

    async def events(self, _: Request) -> Response:
        return events(self._simulator)

    async def calls(self, request: Request) -> Response:
        self._simulator.catch_up()
        calls = [call.to_json() for call in self._simulator.ledger.calls(_since(request))]
        return self._listing("calls", calls, request, ("state", "result", "site_id", "client_phone", "client_id"))

    async def requests(self, request: Request) -> Response:
        requests = [entry.to_json() for entry in self._simulator.ledger.requests(_since(request))]
        return self._listing("requests", requests, request, ("method", "path", "status", "fault"))

    async def set_clock(self, request: Request) -> Response:
        data = await _read_json(request, {"now", "advance", "to", "frozen"})
        clock = self._simulator.clock
        frozen = data.get("frozen", clock.frozen and "advance" in data)
        if not isinstance(frozen, bool) or len(data.keys() & {"now", "advance", "to"}) != 1:
            raise HTTPException(422, f"send {GUIDE['POST /_control/clock']}")
        moment = _parse_moment(self._simulator, data)
        self._simulator.catch_up()
        if data.get("to") == "real" and not frozen:
            clock.follow_real_time()
        else:
            clock.set(moment, frozen=frozen)
        return self._announce()

    async def faults(self, _: Request) -> Response:
        return JSONResponse({"faults": self._simulator.faults.to_json()})

    async def add_fault(self, request: Request) -> Response:
        try:
            fault = read_fault(await _read_json(request))
        except FaultError as error:
            raise HTTPException(422, str(error)) from error
        connection = connection_of(request.scope)
        if connection is None and KINDS[fault.kind].needs_connection:
            raise HTTPException(409, f"{fault.kind} needs the simulator's own server (app.simulator.server)")
        self._simulator.faults.add(fault)
        if fault.kind == "refuse" and connection is not None:
            if fault.seconds is None and not connection.listener.has_control_port:
                self._simulator.faults.clear("refuse")
                raise HTTPException(409, "without a control port this fault could not be cleared: set seconds")
            await connection.listener.refuse(fault.seconds)
        self._simulator.announce()
        return JSONResponse(fault.to_json(), 201)

    async def clear_faults(self, request: Request) -> Response:
        await self._clear_faults(request)
        return self._announce()

    async def script_results(self, request: Request) -> Response:
        data = await _read_json(request, {"result", "times"})
        result, times = data.get("result"), data.get("times", 1)
        if result not in (SUCCESS, FAILED) or type(times) is not int or not 1 <= times <= 100_000:
            raise HTTPException(422, 'send {"result": "success" or "failed", "times": 1 to 100000}')
        self._simulator.ledger.script_results(result, times)
        return self._announce()

    async def clear_ledger(self, _: Request) -> Response:
        self._simulator.clear_ledger()
        return self._announce()

    async def reset(self, request: Request) -> Response:
        await _read_json(request, set())
        await self._clear_faults(request)
        self._simulator.clear_ledger()
        self._simulator.clock.follow_real_time()
        return self._announce()

    async def _clear_faults(self, request: Request) -> None:
        self._simulator.faults.clear()
        connection = connection_of(request.scope)
        if connection is not None:
            await connection.listener.restore()

    def _announce(self) -> Response:
        now = status(self._simulator)
        self._simulator.announce()
        return JSONResponse(now)

    def _listing(
        self, name: str, entries: list[dict[str, Any]], request: Request, filters: tuple[str, ...]
    ) -> Response:
        unknown = set(request.query_params) - {"since", *filters}
        if unknown:
            raise HTTPException(422, f"unknown filter; known are since, {', '.join(filters)}")
        criteria = {key: value for key, value in request.query_params.items() if key != "since"}
        matching = [entry for entry in entries if all(str(entry[key]) == value for key, value in criteria.items())]
        last = entries[-1]["seq"] if entries else _since(request)
        return JSONResponse({name: matching, "last": last, "epoch": self._simulator.epoch})


def _since(request: Request) -> int:
    text = request.query_params.get("since", "0")
    if not (text.isascii() and text.isdigit()):
        raise HTTPException(422, "since: a sequence number; entries above it are listed")
    return int(text)


async def _read_json(request: Request, known: set[str] | None = None) -> dict[str, Any]:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "send application/json")
    try:
        data = json.loads(await request.body())
    except ValueError as error:
        raise HTTPException(422, "not JSON") from error
    if not isinstance(data, dict) or (known is not None and not data.keys() <= known):
        raise HTTPException(422, f"send an object {'with ' + ', '.join(sorted(known)) if known else 'without members'}")
    return data


def _parse_moment(simulator: Simulator, data: dict[str, Any]) -> datetime:
    """Return the time of {"now": …}, {"advance": …} or {"to": …} in UTC. Raises HTTPException 422."""
    clock = simulator.clock
    try:
        match data:
            case {"advance": int() | float() as seconds}:
                return clock.now() + timedelta(seconds=seconds)
            case {"now": int() | float() as seconds}:
                return datetime.fromtimestamp(seconds, UTC)
            case {"now": str() as text}:
                return _require_offset(datetime.fromisoformat(text)).astimezone(UTC)
            case {"to": "night"}:
                return simulator.next_night()
            case {"to": "day"}:
                return simulator.next_day()
            case {"to": "real"}:
                return datetime.now(UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise HTTPException(422, str(error)) from error
    raise HTTPException(422, f"send {GUIDE['POST /_control/clock']}")


def _require_offset(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("now: an ISO 8601 time needs its offset, as in 2026-03-02T03:00:00+03:00")
    return moment
