"""The demo, as the README describes it: type a number in the shop, and see the call on the simulator's page."""

import subprocess

import httpx2
from playwright.async_api import Browser, expect

from tests.browser.demo import ask_for_a_call, demo

EXPECTED = {
    "site_id": "12345",
    "client_phone": "79161234567",
    "client_ip": "127.0.0.1",
    "nwt_action": "always_call",
    "call_stack_start_hour": "10",
    "call_stack_interval": "5",
}


async def test_the_demo_rings_for_a_visitor_and_for_the_printed_curl_line(browser: Browser) -> None:
    with demo() as running:
        shop = await browser.new_page()
        await ask_for_a_call(shop, running.simulator)
        live = await browser.new_page()
        await live.goto(running.simulator)
        shop_page, live_page = f"{running.simulator}/shop", f"{running.simulator}/"
        for value in ("79161234567", shop_page, live_page, "127.0.0.1", "always_call", "10", "5"):
            await expect(live.locator("dd").get_by_text(value, exact=True)).to_be_visible()

        answer = subprocess.run(
            running.curl.replace("8 (916) 123-45-67", "8 (916) 765-43-21"),
            shell=True,
            capture_output=True,
            text=True,
            check=True,
        )
        assert '"status":"queued"' in answer.stdout
        await expect(live.get_by_text("79167654321").first).to_be_visible()

        by_visitor, by_curl = httpx2.get(f"{running.simulator}/_control/calls").json()["calls"]
        pages = {"active_page": shop_page, "referrer": live_page}
        assert by_visitor["params"].items() >= (EXPECTED | pages).items()
        assert by_curl["params"].items() >= (EXPECTED | pages | {"client_phone": "79167654321"}).items()
    assert running.process.returncode == 0, "Ctrl-C ends both"
