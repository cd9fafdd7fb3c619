"""Run `chaser-callback demo`. `python -m tests.browser.demo` makes the README's screenshots."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import Page, ViewportSize

from tests.browser.world import chromium
from tests.running import until

NUMBER = "8 (916) 123-45-67"
_ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Demo:
    """A running demo: its two addresses, the curl line it printed, and its process."""

    service: str
    simulator: str
    curl: str
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def demo(service: int | None = None, simulator: int | None = None) -> Iterator[Demo]:
    """Run `chaser-callback demo` until the end of the block, by default on free ports."""
    if service is None or simulator is None:
        service, simulator = _free_ports()
    ports = ("--port", str(service), "--simulator-port", str(simulator))
    with tempfile.TemporaryFile() as output:
        command = [sys.executable, "-m", "app.cli.entrypoint", "demo", *ports]
        process = subprocess.Popen(command, cwd=_ROOT, stdout=output, stderr=subprocess.STDOUT)

        def printed() -> str:
            return os.pread(output.fileno(), 1_000_000, 0).decode()

        try:
            until(lambda: "Ctrl-C ends both" in printed() or process.poll() is not None, within=90)
            found = re.search(r"curl -X POST .*?\}'", printed(), re.DOTALL)
            assert found, printed()
            yield Demo(f"http://127.0.0.1:{service}", f"http://127.0.0.1:{simulator}", found[0], process)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            finally:
                process.kill()
                process.wait()


async def ask_for_a_call(page: Page, simulator: str) -> None:
    """Open the shop from the simulator's page, which becomes the referrer; enter the number, tick the consent, send."""
    await page.goto(simulator)
    await page.locator("a[href='/shop']").first.click()
    await page.locator("chaser-callback .fab").click()
    dialog = page.locator("chaser-callback dialog[open]")
    await dialog.locator("input[type=tel]").press_sequentially(NUMBER)
    await dialog.locator("input[type=checkbox]").check()
    await dialog.get_by_role("button", name="Call me", exact=True).click()


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        for probe in (one, other):
            probe.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


async def _draw(folder: Path) -> None:
    size: ViewportSize = {"width": 960, "height": 640}
    with demo(8000, 8001) as running:
        async with chromium() as browser:
            page = await browser.new_page(viewport=size, device_scale_factor=1.5, locale="en-US")
            await page.goto(f"{running.simulator}/shop")
            await page.locator("chaser-callback .fab").click()
            await page.locator("chaser-callback dialog[open] input[type=tel]").press_sequentially(NUMBER)
            await page.screenshot(path=folder / "widget.png", animations="disabled")
            await ask_for_a_call(page, running.simulator)
            ringing = await browser.new_page(viewport=size, device_scale_factor=1.5, locale="en-US")
            await ringing.goto(running.simulator)
            await ringing.get_by_text("Ringing now", exact=True).wait_for()
            await ringing.evaluate("scrollTo(0, 210)")
            await ringing.screenshot(path=folder / "ringing.png", animations="disabled")


if __name__ == "__main__":
    asyncio.run(_draw(_ROOT / "docs" / "images"))
