"""The state of one simulator: options, clock, ledger, fault script, and the event that announces changes."""

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
    """The shared state of one simulator. Belongs to one event loop."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.clock = Clock()
        self.ledger = Ledger(options.ring_seconds)
        self.faults = FaultScript()
        self.stopping = asyncio.Event()
        self.epoch = time.time_ns() // 1_000_000
        """Changes with every start and every reset of the ledger; the live page then drops its cards."""
        self._changed = asyncio.Event()

    def catch_up(self) -> datetime:
        """Update the ledger to the present and return the simulator's time."""
        now = self.clock.now()
        self.ledger.catch_up(now)
        return now

    def announce(self) -> None:
        """Wake every task that waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    @property
    def next_change(self) -> asyncio.Event:
        """The event of the next change. Get it before reading the state: otherwise a change in between is missed."""
        return self._changed

    def clear_ledger(self) -> None:
        """Delete all calls, requests and scripted results."""
        self.ledger.clear()
        self.epoch += 1

    def stop(self) -> None:
        """End everything that waits: hanging and dripping answers, and the streams of live pages."""
        self.stopping.set()
        self.announce()

    @property
    def hours(self) -> WorkingHours:
        """The working hours on the page: of the first site, or the defaults without a site."""
        sites = [site for account in self.options.accounts for site in account.sites]
        return sites[0].hours if sites else WorkingHours()

    def next_night(self) -> datetime:
        """Return the next 3:00 in the first site's time zone that is outside its working hours.

        Raises ValueError if there is none within eight days.
        """
        local = self.clock.now().astimezone(self.hours.zone)
        night = local.replace(hour=3, minute=0, second=0, microsecond=0)
        while night <= local or is_open(self.hours, night):
            night += timedelta(days=1)
            if night - local > timedelta(days=8):
                raise ValueError("no 3:00 is outside the working hours of the first site")
        return night

    def next_day(self) -> datetime:
        """Return a time in the first site's working hours: now, or the next opening."""
        now = self.clock.now()
        return now if is_open(self.hours, now) else next_opening(self.hours, now)


async def wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, at most `seconds`."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
