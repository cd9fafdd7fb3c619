"""The data of the live page: the simulator's status, and a stream of changes as server-sent events."""

import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import StreamingResponse

from app.simulator.call_schedule import is_open
from app.simulator.core import Simulator, wait
from app.simulator.records import iso

MAX_CALLS = 100
MAX_REQUESTS = 20

_HEARTBEAT_SECONDS = 5.0
_MIN_INTERVAL_SECONDS = 0.1


def status(simulator: Simulator) -> dict[str, Any]:
    """Return clock, faults, counts, version and epoch as JSON values."""
    now = simulator.catch_up()
    hours = simulator.hours
    return {
        "clock": {
            "now": iso(now),
            "frozen": simulator.clock.frozen,
            "real": simulator.clock.is_real,
            "timezone": hours.timezone,
            "working": is_open(hours, now),
            "opens": hours.opens,
            "closes": hours.closes,
        },
        "faults": simulator.faults.to_json(),
        "counts": simulator.ledger.counts(),
        "version": simulator.ledger.version,
        "epoch": simulator.epoch,
    }


def events(simulator: Simulator) -> StreamingResponse:
    """Stream server-sent events: first everything on the page, then the changes."""
    headers = {"cache-control": "no-store"}
    return StreamingResponse(_stream(simulator), media_type="text/event-stream", headers=headers)


async def _stream(simulator: Simulator) -> AsyncIterator[str]:
    sent_version, epoch = 0, simulator.epoch
    while not simulator.stopping.is_set():
        changed = simulator.next_change
        now = status(simulator)
        if now["epoch"] != epoch:
            sent_version, epoch = 0, now["epoch"]
        calls = simulator.ledger.changed_since(sent_version, MAX_CALLS)
        requests = simulator.ledger.requests()[-MAX_REQUESTS:]
        sent_version = now["version"]
        change = now | {
            "calls": [call.to_json() for call in reversed(calls)],
            "recent": [request.to_json() for request in requests],
        }
        yield f"data: {json.dumps(change)}\n\n"
        # Changes within this interval are sent as one event. Otherwise a burst of calls would flood the page.
        await wait(simulator.stopping, _MIN_INTERVAL_SECONDS)
        due = simulator.ledger.seconds_to_next_change(simulator.clock.now(), frozen=simulator.clock.frozen)
        await wait(changed, _HEARTBEAT_SECONDS if due is None else min(_HEARTBEAT_SECONDS, due))
