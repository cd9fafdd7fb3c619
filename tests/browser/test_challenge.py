"""The challenge: a visitor does not notice it, and an attacker who automates a browser reaches a cap.

The pages here are on localhost, a secure context as with HTTPS: elsewhere browsers provide no crypto.subtle.
"""

import asyncio
import contextlib
import statistics
from collections.abc import Iterator, Mapping

import pytest
from playwright.async_api import Browser, BrowserContext, Route, expect
from playwright.async_api import TimeoutError as PlaywrightTimeoutError

from app.simulator.options import DEMO_SITE_ID
from tests.browser.visitor import Visitor
from tests.browser.world import ALWAYS, HTML, World, pages_of_owners
from tests.faults.doses import LONG, dose, note
from tests.running import AUTHORIZED, chaser, phone, service, settings

HOST = "shop.localhost"
ADDRESSES = dose(short=8, long=200)
CONCURRENCY = 4


class TrustedWorld(World):
    """A world on localhost, a secure context."""

    @property
    def base(self) -> str:
        """The service's address in the pages."""
        return self.service.url.replace("127.0.0.1", "callback.localhost")

    def page(self, tag: str | None = None, body: str = "", headers: Mapping[str, str] | None = None) -> str:
        """Serve a page with the widget and return its address."""
        html = HTML + (self.tag() if tag is None else tag) + "</head><body>" + body
        return self.pages.add(html, headers, HOST)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrustedWorld]:
    """A service with the challenge and the default quotas; the test acts as its trusted proxy."""
    with pages_of_owners() as pages, chaser() as simulator:
        site = {
            "site_id": int(DEMO_SITE_ID),
            "origins": [pages.origin(HOST)],
            "challenge": "on",
            "working_hours": ALWAYS,
        }
        chosen = settings(
            tmp_path_factory.mktemp("guarded"),
            simulator.api_url,
            sites={"shop": site},
            trusted_proxies=["127.0.0.1"],
            quotas=None,
            limits=None,
        )
        with service(chosen) as callback_service:
            yield TrustedWorld(callback_service, simulator, pages)


async def context_from(browser: Browser, address: str) -> BrowserContext:
    """Return a browser context with a client address: its requests get the header that a proxy would add."""
    context = await browser.new_context(locale="en-US", reduced_motion="reduce")

    async def forward(route: Route) -> None:
        await route.continue_(headers=route.request.headers | {"x-forwarded-for": address})

    await context.route("**/v1/**", forward)
    return context


def actual_status(world: World, callback_id: str) -> str:
    return str(world.service.http.get(f"/v1/callbacks/{callback_id}", headers=AUTHORIZED).json()["status"])


async def test_a_visitor_is_called_and_notices_nothing_of_the_challenge(
    browser: Browser, guarded: TrustedWorld
) -> None:
    context = await context_from(browser, "203.0.113.1")
    visitor = Visitor(await context.new_page(), guarded)
    await visitor.visit()
    await visitor.open()
    async with visitor.page.expect_response("**/v1/callbacks") as answer:
        number = await visitor.ask()
    assert (await answer.value).status == 202
    guarded.service.wait_for((await (await answer.value).json())["id"], "placed")
    assert len(guarded.chaser.calls(client_phone=number.lstrip("+"))) == 1
    assert visitor.unexpected_logs() == []
    await context.close()


async def test_a_form_of_the_owners_own_needs_nothing_more_than_submit(browser: Browser, guarded: TrustedWorld) -> None:
    context = await context_from(browser, "203.0.113.2")
    visitor = Visitor(await context.new_page(), guarded)
    await visitor.visit()
    # Two concurrent requests: each needs its own challenge.
    accepted = await visitor.page.evaluate(
        "phones => Promise.all(phones.map(phone => chaserCallback.submit({ client_phone: phone })))", [phone(), phone()]
    )
    assert len({callback["id"] for callback in accepted}) == 2
    assert len(visitor.sent()) == 2
    for callback in accepted:
        assert actual_status(guarded, callback["id"]) != "held"
    await context.close()


async def test_a_request_for_a_challenge_times_out_after_ten_seconds(browser: Browser, guarded: TrustedWorld) -> None:
    context = await context_from(browser, "203.0.113.5")
    visitor = Visitor(await context.new_page(), guarded)
    await visitor.page.clock.install()
    await visitor.page.route("**/v1/challenge?*", lambda route: visitor.paused.append(route))  # noqa: PLW0108
    await visitor.visit()
    await visitor.open()
    await visitor.ask()
    await visitor.page.clock.run_for(9_000)
    await expect(visitor.dialog.get_by_role("button", name="Sending…")).to_be_visible()
    await visitor.page.clock.run_for(2_000)
    await expect(visitor.alerts.filter(visible=True)).to_have_text("No connection. Check your internet and try again.")
    assert visitor.sent() == []
    await visitor.page.unroute_all(behavior="ignoreErrors")
    await visitor.number.press("Enter")
    await visitor.page.clock.resume()
    await expect(visitor.title).to_have_text("We’re calling you")
    await context.close()


async def test_a_challenge_that_expired_while_the_computer_slept_is_replaced_silently(
    browser: Browser, guarded: TrustedWorld
) -> None:
    context = await context_from(browser, "203.0.113.3")
    visitor = Visitor(await context.new_page(), guarded)
    visitor.expected_logs = ("Failed to load resource",)
    refused: list[int] = []

    async def refuse_once(route: Route) -> None:
        if refused:
            await route.fallback()
            return
        refused.append(403)
        headers = {"access-control-allow-origin": guarded.pages.origin(HOST)}
        await route.fulfill(status=403, json={"code": "challenge_expired"}, headers=headers)

    await visitor.visit()
    await visitor.page.route("**/v1/callbacks", refuse_once)
    await visitor.open()
    number = await visitor.ask()
    await visitor.title.filter(has_text="We’re calling you").wait_for()
    first, second = visitor.sent()
    assert first["request_id"] == second["request_id"]
    assert first["challenge"] != second["challenge"]
    assert len(guarded.chaser.calls(client_phone=number.lstrip("+"))) == 1
    await context.close()


async def test_a_clock_set_back_while_the_visitor_types_delays_nothing(browser: Browser, guarded: TrustedWorld) -> None:
    context = await context_from(browser, "203.0.113.6")
    visitor = Visitor(await context.new_page(), guarded)
    await visitor.visit()
    async with visitor.page.expect_response("**/v1/challenge?*"):
        await visitor.open()
    await visitor.page.evaluate("(now => { Date.now = () => now() - 3600_000; })(Date.now)")
    await visitor.ask()
    await expect(visitor.title).to_have_text("We’re calling you")
    assert len(visitor.sent()) == 1
    await context.close()


async def test_the_time_to_solve_a_challenge_is_measured_on_a_slow_cpu(browser: Browser, guarded: TrustedWorld) -> None:
    context = await context_from(browser, "203.0.113.4")
    page = await context.new_page()
    await page.goto(guarded.page(""))
    session = await context.new_cdp_session(page)
    await session.send("Emulation.setCPUThrottlingRate", {"rate": 4})
    measured = await page.evaluate(
        """async base => {
            const { solve } = await import(base + "/widget/any/callbacks.js");
            const times = [];
            for (let n = 0; n < 21; n++) {
                const challenge = await (await fetch(base + "/v1/challenge?site=shop")).json();
                const began = performance.now();
                await solve(challenge);
                times.push(performance.now() - began);
            }
            return times;
        }""",
        guarded.base,
    )
    note(
        "solving a challenge, CPU four times slower",
        f"median {statistics.median(measured):.0f} ms, longest {max(measured):.0f} ms",
    )
    await context.close()


@pytest.mark.timeout(3600 if LONG else 300)
async def test_a_browser_driven_from_many_addresses_at_one_number_rings_it_up_to_the_cap(
    browser: Browser, guarded: TrustedWorld
) -> None:
    victim = phone()
    honest = [phone() for _ in range(ADDRESSES // 4)]
    slots = asyncio.Semaphore(CONCURRENCY)

    async def drive(address: str, number: str) -> int:
        async with slots:
            context = await context_from(browser, address)
            try:
                # On a busy machine the widget may time out; a person tries again, and so does a script.
                with contextlib.suppress(PlaywrightTimeoutError):
                    return await send(context, number)
                return await send(context, number)
            finally:
                await context.close()

    async def send(context: BrowserContext, number: str) -> int:
        visitor = Visitor(await context.new_page(), guarded)
        visitor.page.set_default_timeout(60_000)
        await visitor.visit()
        await visitor.open()
        async with visitor.page.expect_response("**/v1/callbacks") as answer:
            await visitor.ask("+" + number)
        return (await answer.value).status

    attacks = [drive(f"198.51.100.{n}", victim) for n in range(1, ADDRESSES + 1)]
    # Meanwhile legitimate visitors come, all from one address of a mobile carrier.
    visits = [drive("203.0.113.9", number) for number in honest]
    statuses = await asyncio.gather(*attacks, *visits)
    guarded.service.http.get("/readyz")
    while guarded.service.http.get("/readyz", headers=AUTHORIZED).json()["waiting"]:
        await asyncio.sleep(0.1)
    rung = len(guarded.chaser.calls(client_phone=victim))
    note(
        "a driven browser",
        f"{ADDRESSES} addresses at one number: {rung} calls; {len(honest)} honest visitors: all taken",
    )
    assert 1 <= rung <= 3
    assert statuses[ADDRESSES:] == [202] * len(honest)
    assert [len(guarded.chaser.calls(client_phone=number)) for number in honest] == [1] * len(honest)
