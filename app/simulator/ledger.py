"""The ledger: executed calls and received requests, and the state of a call as the clock advances.

Nothing here sleeps: every read calls `catch_up` first, which updates the calls to the present. Memory grows with every
request until a reset.
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

    `version` grows with every change. `ring_seconds`: how long a phone rings; `monotonic`: the clock of real seconds.
    """

    def __init__(self, ring_seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.version = 0
        self._ring_seconds = ring_seconds
        self._monotonic = monotonic
        self._call_numbers = itertools.count(1)
        self._request_numbers = itertools.count(1)
        self._caught_up_at = monotonic()
        self._reset()

    def _reset(self) -> None:
        self._calls: list[Call] = []
        self._requests: list[ApiRequest] = []
        self._active: dict[int, Call] = {}
        self._by_change: dict[int, Call] = {}
        self._queue_lengths: Counter[tuple[str, date]] = Counter()
        self._results: deque[str] = deque()

    def clear(self) -> None:
        """Delete calls, requests, queues and scripted results. The numbers don't restart."""
        self._reset()
        self.version += 1

    def script_results(self, result: str, times: int) -> None:
        """Set the result of the next `times` calls to `success` or `failed`; without a script every call succeeds."""
        self._results.extend(itertools.repeat(result, times))

    def queued_for(self, site_id: str) -> Callable[[date], int]:
        """Return a function from a day to the length of that site's queue for the day."""
        return lambda day: self._queue_lengths[site_id, day]

    def add_request(self, now: datetime, method: str, path: str, query: str, body: str) -> ApiRequest:
        """Add a request that arrived completely and return its entry; the caller fills in the outcome."""
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
        """Execute a call and return its entry: it rings, is queued or becomes a lead, by `plan`."""
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
            queue_day=plan.queue_day,
            note=plan.note,
            fault=fault,
        )
        self._calls.append(call)
        if plan.queue_day is not None:
            self._queue_lengths[site.id, plan.queue_day] += 1
        if plan.ring_at is None:
            call.state = LEAD
        else:
            call.scripted_result = self._results.popleft() if self._results else SUCCESS
            self._active[call.seq] = call
            if plan.ring_at <= now:
                self._ring(call, now, self._monotonic())
        self._mark_changed(call)
        return call

    def catch_up(self, now: datetime) -> None:
        """Update every call to `now`: queued calls ring, ringing ones end. Call it before and after a clock jump."""
        real = self._monotonic()
        earliest = now - timedelta(seconds=real - self._caught_up_at)
        self._caught_up_at = real
        for call in list(self._active.values()):
            if call.state == QUEUED and call.ring_at is not None and call.ring_at <= now:
                # After a clock jump a phone starts to ring now; otherwise the ring would be over in the skipped time.
                began = max(call.ring_at, earliest)
                self._ring(call, began, real - (now - began).total_seconds())
                self._mark_changed(call)
            if call.state != RINGING or call.rang_at is None:
                continue
            ends_at = call.rang_at + timedelta(seconds=self._ring_seconds)
            if real >= call.ring_ends or now >= ends_at:
                call.state, call.result, call.ended_at = DONE, call.scripted_result, min(now, ends_at)
                del self._active[call.seq]
                self._mark_changed(call)

    def seconds_to_next_change(self, now: datetime, *, frozen: bool) -> float | None:
        """Return the seconds until the next call changes without a request; None if none will.

        `frozen`: the simulated clock is stopped, so that no queued call becomes due.
        """
        real = self._monotonic()
        waits = [call.ring_ends - real for call in self._active.values() if call.state == RINGING]
        if not frozen:
            waits += [
                (call.ring_at - now).total_seconds()
                for call in self._active.values()
                if call.state == QUEUED and call.ring_at is not None
            ]
        return max(0.0, min(waits)) if waits else None

    def calls(self, since: int = 0) -> list[Call]:
        """List calls with a number above `since`, oldest first."""
        return self._calls[_index_after(self._calls, since) :]

    def requests(self, since: int = 0) -> list[ApiRequest]:
        """List requests with a number above `since`, oldest first."""
        return self._requests[_index_after(self._requests, since) :]

    def changed_since(self, version: int, limit: int) -> list[Call]:
        """List the calls changed after a version, latest change first, at most `limit`."""
        return list(
            itertools.islice(
                itertools.takewhile(lambda call: call.changed > version, reversed(self._by_change.values())), limit
            )
        )

    def counts(self) -> dict[str, int]:
        """Count the calls by state, finished ones by result, and the requests."""
        states = Counter(call.result or call.state for call in self._calls)
        names = (QUEUED, RINGING, LEAD, SUCCESS, FAILED)
        return {name: states[name] for name in names} | {"calls": len(self._calls), "requests": len(self._requests)}

    def _ring(self, call: Call, began: datetime, began_real: float) -> None:
        call.state, call.rang_at = RINGING, began
        call.ring_ends = began_real + self._ring_seconds

    def _mark_changed(self, call: Call) -> None:
        self.version += 1
        call.changed = self.version
        self._by_change.pop(call.seq, None)
        self._by_change[call.seq] = call


def _index_after(entries: Sequence[Call] | Sequence[ApiRequest], since: int) -> int:
    """Return the index of the first entry numbered above `since`; numbers have no gaps."""
    return max(0, since + 1 - entries[0].seq) if entries else 0
