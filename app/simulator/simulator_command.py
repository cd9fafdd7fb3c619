"""Run the simulator as a command, with one account and one site."""

import asyncio
import contextlib
import sys
from collections.abc import Callable

from app.simulator.options import (
    DEMO_CLIENT_ID,
    DEMO_MANAGER_PHONE,
    DEMO_PRIVATE_KEY,
    DEMO_SITE_ID,
    DEMO_SITE_NAME,
    Account,
    Options,
    Site,
    WorkingHours,
)
from app.simulator.running import serve
from app.simulator.server import Running


def run_simulator(
    host: str = "127.0.0.1",
    port: int = 8001,
    control_port: int | None = None,
    service_url: str = "http://127.0.0.1:8000",
    client_id: str = DEMO_CLIENT_ID,
    private_key: str = DEMO_PRIVATE_KEY,
    site_id: str = DEMO_SITE_ID,
    site_name: str = DEMO_SITE_NAME,
    manager_phone: str = DEMO_MANAGER_PHONE,
    hours: WorkingHours | None = None,
    ring_seconds: float = 15.0,
    on_ready: Callable[[Running], None] | None = None,
) -> None:
    """Run a simulator with one account and one site until SIGINT or SIGTERM.

    `on_ready` is called once it listens; by default the addresses are printed to standard error. `ring_seconds` is in
    seconds. Raises OSError if a port is taken, ValueError for invalid ids.
    """
    site = Site(site_id, site_name, manager_phone=manager_phone, hours=hours or WorkingHours())
    options = Options((Account(client_id, private_key, (site,)),), service_url, ring_seconds)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(host, port, options, control_port=control_port, on_ready=on_ready or _print_addresses))


def _print_addresses(simulator: Running) -> None:
    sys.stderr.write(
        f"Chaser simulator: calls as they ring at {simulator.url}/ , the API at {simulator.api_url} ,\n"
        f"the control path at {simulator.control_url} , a shop with the widget at {simulator.url}/shop\n"
    )
    sys.stderr.flush()
