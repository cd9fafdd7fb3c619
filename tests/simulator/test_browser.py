"""The live page and the shop in a real browser."""

import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.async_api import Browser, Page, async_playwright

from app.simulator.options import Options
from app.simulator.running import running
from tests.simulator.support import CALL, Client

HOSTILE = {
    "active_page": "https://shop.example/?q=" + "x" * 2000,
    "message_on_ring": "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>",
    "referrer": "https://\u202emoc.live//:sptth\u200b",
    "<b>name</b>": "<b>value</b>",
    "utm": {"source": "<i>ya</i>"},
}


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield chromium
        await chromium.close()


@pytest.fixture
async def page(browser: Browser, client: Client) -> AsyncIterator[Page]:
    """The live page of a simulator; a test fails if the page reports an error."""
    async with await browser.new_context(viewport={"width": 320, "height": 640}) as context:
        page = await context.new_page()
        page.set_default_timeout(10_000)
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        await page.goto(f"{client.simulator.url}/")
        await page.wait_for_selector("#live.on")
        yield page
        assert errors == []


async def fits(page):
    return await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_without_calls_the_page_says_what_to_do(page):
    assert await page.is_visible("text=No calls yet")
    assert await page.get_attribute("#empty a", "href") == "/shop"
    assert await fits(page)


async def test_a_call_rings_on_the_page_and_shows_every_parameter(page, client):
    await client.post(CALL | {"active_page": "https://shop.example/~я", "client_ip": "203.0.113.7", "referrer": ""})
    await page.wait_for_selector(".card.ringing")
    assert await page.inner_text(".phone") == "+7 916 123-45-67"
    assert await page.inner_text(".state") == "Ringing now"
    names = await page.locator(".params dt").all_inner_texts()
    values = await page.locator(".params dd").all_inner_texts()
    assert dict(zip(names, values, strict=True)) == {
        "site_id": "12345",
        "client_phone": "79161234567",
        "active_page": "https://shop.example/~я",
        "client_ip": "203.0.113.7",
        "referrer": "empty",
    }
    assert "nwt_action" in await page.inner_text(".absent")
    assert await page.is_hidden("#empty")


async def test_a_card_follows_its_call_from_the_queue_to_its_end(page, client):
    await page.click("button[data-clock=night]")
    await page.wait_for_selector("#working.night")
    await client.control("POST", "results", {"result": "failed"})
    await client.post(CALL | {"nwt_action": "always_call", "call_stack_start_hour": "10"})
    await page.wait_for_selector(".card.queued")
    assert (await page.inner_text(".state")).endswith("10:00")
    await page.click("text=Set the clock to 10:00")
    await page.wait_for_selector(".card.ringing")
    assert await page.is_hidden(".go")
    await client.clock(advance=60)
    await page.wait_for_selector(".card.failed")
    assert await page.inner_text(".state") == "Missed"
    assert await page.locator(".card").count() == 1


async def test_the_newest_call_comes_first_and_clearing_empties_the_page(page, client):
    for phone in ("79160000001", "79160000002"):
        await client.post(CALL | {"client_phone": phone})
    await page.wait_for_selector("text=2 ringing")
    assert await page.locator(".phone").all_inner_texts() == ["+7 916 000-00-02", "+7 916 000-00-01"]
    await page.click("#clear")
    await page.wait_for_selector("#empty", state="visible")
    assert await client.calls() == []


async def test_untrusted_values_are_shown_as_text(page, client):
    await client.post(CALL | HOSTILE)
    await page.wait_for_selector(".card.ringing")
    assert await page.evaluate("window.hacked") is None
    assert await page.locator(".card b, .card i, .card img, .card script").count() == 0
    shown = await page.inner_text(".params")
    assert HOSTILE["message_on_ring"] in shown
    assert "<b>value</b>" in shown
    assert "U+202E" in shown
    assert "U+200B" in shown
    assert await fits(page)
    await page.click("text=Show all 2,024 characters")
    assert await page.get_attribute(".params button", "aria-expanded") == "true"
    assert await fits(page)


async def test_a_fault_chosen_on_the_page_meets_the_next_call(page, client):
    await page.select_option("#fault", "503")
    await page.click("#fault-form button")
    await page.wait_for_selector("#faults", state="visible")
    assert (await client.post()).status_code == 503
    await page.wait_for_selector("#faults", state="hidden")
    await page.wait_for_selector("text=last: 503")


async def test_a_refused_request_is_shown_with_its_reason(page, client):
    await client.post(private_key="wrong")
    await page.wait_for_selector("#last-request.bad")
    assert "401, SecurityKey does not match" in await page.inner_text("#last-request")


@pytest.fixture
def other_origin() -> Iterator[str]:
    """Another origin with a widget.js that only marks its script element when it runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = b"document.currentScript.dataset.ran = document.currentScript.dataset.site"
            self.send_response(200)
            self.send_header("content-type", "text/javascript")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


async def test_the_shop_loads_the_widget_from_the_other_origin_under_its_policy(browser, other_origin):
    async with running(Options(service_url=other_origin)) as simulator, await browser.new_context() as context:
        page = await context.new_page()
        await page.goto(f"{simulator.url}/shop")
        await page.wait_for_selector("script[data-ran=shop]", state="attached")
        assert await page.is_hidden("#missing")


async def test_the_shop_shows_an_error_when_the_widget_cannot_be_loaded(browser):
    options = Options(service_url="http://127.0.0.1:9")  # the discard port, where nothing listens
    async with running(options) as simulator, await browser.new_context() as context:
        page = await context.new_page()
        await page.set_viewport_size({"width": 320, "height": 640})
        await page.goto(f"{simulator.url}/shop")
        await page.wait_for_selector("#missing", state="visible")
        await page.click("#add")
        assert await page.inner_text("#basket") == "1"
        assert await fits(page)
