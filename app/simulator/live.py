"""What the live page is told: the simulator's status, and a stream of changes as server-sent events."""

import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import StreamingResponse

from app.simulator.call_schedule import is_open
from app.simulator.core import Simulator, wait
from app.simulator.records import iso

SHOWN_CALLS = 100
SHOWN_REQUESTS = 20

_HEARTBEAT_SECONDS = 5.0
_PACE_SECONDS = 0.1


def status(simulator: Simulator) -> dict[str, Any]:
    """Clock, faults, counts and versions, as JSON can carry them."""
    now = simulator.settle()
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
    """Stream server-sent events: a stream that begins with everything the page shows and goes on with what changes."""
    headers = {"cache-control": "no-store"}
    return StreamingResponse(_stream(simulator), media_type="text/event-stream", headers=headers)


async def _stream(simulator: Simulator) -> AsyncIterator[str]:
    seen, epoch = 0, simulator.epoch
    while not simulator.stopping.is_set():
        changed = simulator.next_change
        now = status(simulator)
        if now["epoch"] != epoch:
            seen, epoch = 0, now["epoch"]
        calls = simulator.ledger.changed_since(seen, SHOWN_CALLS)
        requests = simulator.ledger.requests()[-SHOWN_REQUESTS:]
        seen = now["version"]
        change = now | {
            "calls": [call.to_json() for call in reversed(calls)],
            "recent": [request.to_json() for request in requests],
        }
        yield f"data: {json.dumps(change)}\n\n"
        # Many calls at once make one event, not one each.
        await wait(simulator.stopping, _PACE_SECONDS)
        due = simulator.ledger.due_in(simulator.clock.now(), frozen=simulator.clock.frozen)
        await wait(changed, _HEARTBEAT_SECONDS if due is None else min(_HEARTBEAT_SECONDS, due))
