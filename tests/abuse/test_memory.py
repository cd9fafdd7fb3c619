"""Memory that the rate limit uses for a flood of new addresses, measured in a process of its own."""

import asyncio
import gc
import json
import re
import subprocess
import sys
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from app.edge.flood_limit import FloodLimit
from app.net.client_address import Address, buckets
from app.settings.setting_types import parse_limits
from tests.faults.doses import LONG, dose, note

pytestmark = pytest.mark.timeout(3600 if LONG else 300)

ADDRESSES = dose(60_000, 1_000_000)
"""Half of them IPv6, each in its own network and so with three keys: more than twice as many as are stored."""
MOST_RISE = 64.0
"""MB."""
WINDOW = dose(2, 5)  # seconds
_ROOT = Path(__file__).parent.parent.parent


def test_ever_new_addresses_take_little_memory_and_give_it_back() -> None:
    command = [sys.executable, "-m", "tests.abuse.test_memory", str(ADDRESSES)]
    figures = json.loads(subprocess.run(command, cwd=_ROOT, check=True, capture_output=True).stdout)
    note(f"{ADDRESSES} addresses through the flood limit", figures)
    assert figures["passed"] == ADDRESSES
    assert figures["MB more"] <= MOST_RISE
    assert figures["MB more afterwards"] < figures["MB more"]
    # Python returns only a part of freed memory to the system, so only the number of blocks is exact.
    assert figures["blocks more afterwards"] < figures["blocks more"] / 20


def address(number: int) -> Address:
    if number % 2:
        return IPv6Address((0x2001 << 112) + (number << 80))
    return IPv4Address((10 << 24) + number)


def memory(name: str) -> float:
    match = re.search(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert match
    return int(match[1]) / 1024


async def measure(count: int) -> dict[str, float]:
    """Send one request from each of many addresses, wait for the end of their windows, and send a few more."""
    passed = 0

    async def app(scope, receive, send) -> None:
        nonlocal passed
        passed += 1

    limit = FloodLimit(app, parse_limits(f"60/{WINDOW} seconds"), {})

    async def send(client: Address) -> None:
        state = {"client_address": client, "client_buckets": buckets(client), "request_id": "one"}
        scope = {"type": "http", "method": "GET", "path": "/v1/sites/shop", "headers": [], "state": state}
        await limit(scope, None, None)

    for number in range(1000):
        await send(IPv4Address("192.0.2.0") + number)
    gc.collect()
    before, blocks, most = memory("VmRSS"), sys.getallocatedblocks(), 0
    passed = 0
    for number in range(count):
        await send(address(number))
        if number % 10_000 == 0:
            most = max(most, sys.getallocatedblocks() - blocks)
    figures: dict[str, float] = {"passed": passed, "MB more": round(memory("VmHWM") - before, 1), "blocks more": most}
    for _ in range(2):
        await asyncio.sleep(WINDOW)
        for number in range(100):
            await send(IPv4Address("192.0.2.0") + number)
    gc.collect()
    left = sys.getallocatedblocks() - blocks
    return figures | {"MB more afterwards": round(memory("VmRSS") - before, 1), "blocks more afterwards": left}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(measure(int(sys.argv[1])))))
