"""The simulator's state in one place: options, clock, ledger, fault script, and who waits for a change."""

import asyncio
import contextlib
import time
from datetime import datetime, timedelta

from app.simulator.call_schedule import is_open, next_opening
from app.simulator.fault_script import FaultScript
from app.simulator.ledger import Ledger
from app.simulator.options import Options, WorkingHours
from app.simulator.simulated_clock import Clock


class Simulator:
    """What all parts of one simulator share. Belongs to one event loop."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.clock = Clock()
        self.ledger = Ledger(options.ring_seconds)
        self.faults = FaultScript()
        self.stopping = asyncio.Event()
        self.epoch = time.time_ns() // 1_000_000
        """Another number after every reset of the ledger and every start, so that a page forgets what it shows."""
        self._changed = asyncio.Event()

    def settle(self) -> datetime:
        """Bring the ledger up to the present and return the simulator's time."""
        now = self.clock.now()
        self.ledger.settle(now)
        return now

    def announce(self) -> None:
        """Wake everybody who waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    @property
    def next_change(self) -> asyncio.Event:
        """The event that the next change will set; take it before looking, so that no change is missed."""
        return self._changed

    def clear_ledger(self) -> None:
        """Forget all calls and requests."""
        self.ledger.clear()
        self.epoch += 1

    def stop(self) -> None:
        """End everything that waits: hanging answers, dripping ones, live pages."""
        self.stopping.set()
        self.announce()

    @property
    def hours(self) -> WorkingHours:
        """The working hours the page shows: those of the first site, or the usual ones if there is no site."""
        sites = [site for account in self.options.accounts for site in account.sites]
        return sites[0].hours if sites else WorkingHours()

    def next_night(self) -> datetime:
        """Find the next 3:00 on the first site's clock that lies outside its working hours."""
        local = self.clock.now().astimezone(self.hours.zone)
        night = local.replace(hour=3, minute=0, second=0, microsecond=0)
        while night <= local or is_open(self.hours, night):
            night += timedelta(days=1)
            if night - local > timedelta(days=8):
                raise ValueError("no 3:00 lies outside the working hours of the first site")
        return night

    def next_day(self) -> datetime:
        """Find a moment in working hours on the first site's clock: now if that is one, else the next opening."""
        now = self.clock.now()
        return now if is_open(self.hours, now) else next_opening(self.hours, now)


async def wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, but no longer than so long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
