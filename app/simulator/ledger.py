"""What the simulator remembers: calls it executed and requests it saw, and how a call moves on with the clock.

Nothing here sleeps: `settle` is called whenever somebody looks, and brings every call up to the present. Memory
grows with every request until a reset.
"""

import itertools
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from app.simulator.call_schedule import Plan
from app.simulator.options import Account, Site
from app.simulator.records import DONE, FAILED, LEAD, QUEUED, RINGING, SUCCESS, ApiRequest, Call


class Ledger:
    """Calls and requests in order of arrival.

    `version` grows with every change. `ring_seconds` is how long a phone rings; `monotonic` gives real seconds.
    """

    def __init__(self, ring_seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.version = 0
        self._ring_seconds = ring_seconds
        self._monotonic = monotonic
        self._call_numbers = itertools.count(1)
        self._request_numbers = itertools.count(1)
        self._settled = monotonic()
        self._begin()

    def _begin(self) -> None:
        self._calls: list[Call] = []
        self._requests: list[ApiRequest] = []
        self._active: dict[int, Call] = {}
        self._by_change: dict[int, Call] = {}
        self._nights: Counter[tuple[str, date]] = Counter()
        self._results: deque[str] = deque()

    def clear(self) -> None:
        """Forget calls, requests, queues and scripted results; numbers go on counting."""
        self._begin()
        self.version += 1

    def script_results(self, result: str, times: int) -> None:
        """Let the next `times` calls end as `success` or `failed`; without a script every call succeeds."""
        self._results.extend(itertools.repeat(result, times))

    def queued_for(self, site_id: str) -> Callable[[date], int]:
        """How many night calls of that site stand in the queue of a given morning."""
        return lambda day: self._nights[site_id, day]

    def add_request(self, now: datetime, method: str, path: str, query: str, body: str) -> ApiRequest:
        """Note a request that arrived in full; what became of it is filled in later."""
        request = ApiRequest(next(self._request_numbers), now, method, path, query, body)
        self._requests.append(request)
        self.version += 1
        return request

    def add_call(
        self,
        account: Account,
        site: Site,
        plan: Plan,
        now: datetime,
        *,
        client_phone: str,
        manager_phone: str,
        params: dict[str, Any],
        fault: str | None = None,
    ) -> Call:
        """Execute a call: it rings, waits or becomes a lead, as planned."""
        call = Call(
            seq=next(self._call_numbers),
            client_id=account.client_id,
            site_id=site.id,
            site_name=site.name,
            timezone=site.hours.timezone,
            client_phone=client_phone,
            manager_phone=manager_phone,
            params=params,
            received_at=now,
            ring_at=plan.ring_at,
            night=plan.night,
            note=plan.note,
            fault=fault,
        )
        self._calls.append(call)
        if plan.night is not None:
            self._nights[site.id, plan.night] += 1
        if plan.ring_at is None:
            call.state = LEAD
        else:
            call.will_end = self._results.popleft() if self._results else SUCCESS
            self._active[call.seq] = call
            if plan.ring_at <= now:
                self._ring(call, now, self._monotonic())
        self._changed(call)
        return call

    def settle(self, now: datetime) -> None:
        """Bring every call up to `now`: queued ones ring, ringing ones end. Call it before and after a clock jump."""
        real = self._monotonic()
        earliest = now - timedelta(seconds=real - self._settled)
        self._settled = real
        for call in list(self._active.values()):
            if call.state == QUEUED and call.ring_at is not None and call.ring_at <= now:
                # After a jump of the clock a phone starts to ring now, not in the hours that were skipped.
                began = max(call.ring_at, earliest)
                self._ring(call, began, real - (now - began).total_seconds())
                self._changed(call)
            if call.state != RINGING or call.rang_at is None:
                continue
            silent_at = call.rang_at + timedelta(seconds=self._ring_seconds)
            if real >= call.silent_from or now >= silent_at:
                call.state, call.result, call.ended_at = DONE, call.will_end, min(now, silent_at)
                del self._active[call.seq]
                self._changed(call)

    def due_in(self, now: datetime, *, frozen: bool) -> float | None:
        """Seconds until the next call changes by itself; None if none will."""
        real = self._monotonic()
        waits = [call.silent_from - real for call in self._active.values() if call.state == RINGING]
        if not frozen:
            waits += [
                (call.ring_at - now).total_seconds()
                for call in self._active.values()
                if call.state == QUEUED and call.ring_at is not None
            ]
        return max(0.0, min(waits)) if waits else None

    def calls(self, since: int = 0) -> list[Call]:
        """List calls with a number above `since`, oldest first."""
        return self._calls[_start(self._calls, since) :]

    def requests(self, since: int = 0) -> list[ApiRequest]:
        """List requests with a number above `since`, oldest first."""
        return self._requests[_start(self._requests, since) :]

    def changed_since(self, version: int, most: int) -> list[Call]:
        """List the calls changed after a version, latest change first, at most so many."""
        return list(
            itertools.islice(
                itertools.takewhile(lambda call: call.changed > version, reversed(self._by_change.values())), most
            )
        )

    def counts(self) -> dict[str, int]:
        """How many calls are in each state, `success` and `failed` apart, and how many requests came."""
        states = Counter(call.result or call.state for call in self._calls)
        names = (QUEUED, RINGING, LEAD, SUCCESS, FAILED)
        return {name: states[name] for name in names} | {"calls": len(self._calls), "requests": len(self._requests)}

    def _ring(self, call: Call, began: datetime, began_real: float) -> None:
        call.state, call.rang_at = RINGING, began
        call.silent_from = began_real + self._ring_seconds

    def _changed(self, call: Call) -> None:
        self.version += 1
        call.changed = self.version
        self._by_change.pop(call.seq, None)
        self._by_change[call.seq] = call


def _start(entries: Sequence[Call] | Sequence[ApiRequest], since: int) -> int:
    """Where the entries numbered above `since` begin; numbers have no gaps."""
    return max(0, since + 1 - entries[0].seq) if entries else 0
