"""The text shown, the requests repeated and the calls made, for each kind of answer and each fault of the connection.

A real proxy stands between the browser and the real service, see between.py; calls are counted at the simulator. The
expected texts come from the widget's own messages. Each scenario runs in Russian and in English concurrently.
"""

import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.browser.between import Behaviour, FaultProxy, answering, answering_with, cut_after, cut_before, cut_within
from tests.browser.caller import LANGUAGES, PROFILE, TEL, Caller, TrustedWorld, calling_service, run_for_all
from tests.browser.world import World
from tests.running import Service

BUSY = answering(503, "overloaded", retry_after=1)
INTERNAL = answering(500, "internal")


@dataclass(frozen=True)
class Row:
    """`behaviours`: those of the proxy, one for each request. `error`: a key of the widget's texts, followed by `wait`.
    `sent`: the number of requests until the error is shown. `calls`: the number of calls that they led to."""

    name: str
    behaviours: tuple[Behaviour, ...]
    error: str = "error"
    sent: int = 1
    calls: int = 0
    wait: tuple[int, str] | None = None

    def __str__(self) -> str:
        return self.name


def field(name: str, code: str) -> tuple[Behaviour]:
    return (answering(422, "invalid", errors=[(name, code)]),)


def foreign(status: int, body: str, media_type: str = "application/json") -> tuple[Behaviour]:
    return (answering_with(status, body, media_type),)


CALLED = [
    Row("202", ()),
    Row("503 once", (BUSY,), sent=2),
    Row("cut before it arrived, once", (cut_before,), sent=2),
    Row("answer lost, once", (cut_after,), sent=2),
    Row("answer cut in the middle, once", (cut_within,), sent=2),
    Row("202 of another program, once", foreign(202, "<p>Log in</p>", "text/html"), sent=2),
    Row("200 of another program, once", foreign(200, "null"), sent=2),
]
REFUSED = [
    Row("403 for the origin", (answering(403, "origin_not_allowed"),), "blocked"),
    Row("403 of a firewall, in HTML", foreign(403, "<h1>Blocked</h1>", "text/html"), "blocked"),
    Row("403 of a firewall, errors null", foreign(403, '{"code": 1020, "errors": null}'), "blocked"),
    Row("403 of a firewall, odd errors", foreign(403, '{"errors": {"a": [1]}}'), "blocked"),
    Row("409", (answering(409, "invalid_state"),)),
    Row("413", (answering(413, "too_large"),)),
    Row("422 without a field", (answering(422, "request_id_reused"),)),
    Row("422 for a hidden field", field("active_page", "too_long")),
    Row("422 for a consent that was not shown", field("consent", "consent_outdated")),
    Row("422 for a department that was not shown", field("department", "unknown_department")),
    Row("429 for seconds", (answering(429, "rate_limited", retry_after=20),), "too_many", wait=(1, "minute")),
    Row("429 for minutes", (answering(429, "quota_client", retry_after=1501),), "too_many", wait=(26, "minute")),
    Row("429 for a day", (answering(429, "quota_site", retry_after=86_400),), "too_many", wait=(24, "hour")),
    Row("500 in the service's shape", (INTERNAL,), "trouble", wait=(1, "minute")),
    Row("500 of another program, null", foreign(500, "null"), "trouble", wait=(1, "minute")),
    Row("502 of a proxy, empty", foreign(502, "", "text/html"), "trouble", wait=(1, "minute")),
    Row("503 always", (BUSY, BUSY), "trouble", sent=2, wait=(1, "minute")),
    Row("503, then cut", (BUSY, cut_before), "network", sent=2),
    Row("cut before it arrived, always", (cut_before, cut_before), "network", sent=2),
    Row("answer lost, always", (cut_after, cut_after), "network", sent=2, calls=1),
    Row("answer cut in the middle, always", (cut_within, cut_within), "network", sent=2, calls=1),
    Row("answer lost, then 500", (cut_after, INTERNAL), "trouble", sent=2, calls=1, wait=(1, "minute")),
]
# A field and its error code, the control beside which the error is shown, and the key of the text shown.
FIELDS = [
    ("client_phone", "phone_premium_rate", "textbox", "phone", "phone_refused"),
    ("client_phone", "phone_region", "textbox", "phone", "phone_region"),
    ("consent", "consent_required", "checkbox", None, "consent_required"),
    ("consent", "consent_outdated", "checkbox", None, "error"),
    ("department", "unknown_department", "combobox", "department", "error"),
    ("planned_time", "planned_time_past", "combobox", "time", "time_refused"),
]


@pytest.fixture(scope="module")
def callback_service(shops: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with calling_service(shops, tmp_path_factory.mktemp("outcomes")) as running:
        yield running


@pytest.fixture(scope="module")
async def proxies(callback_service: Service) -> AsyncIterator[list[FaultProxy]]:
    """A proxy for each language. Their addresses stay the same, so the browser can cache the widget's files."""
    async with FaultProxy(callback_service.url) as one, FaultProxy(callback_service.url) as other:
        yield [one, other]


@pytest.fixture(scope="module")
async def profile(browser: Browser) -> AsyncIterator[BrowserContext]:
    """The browser context of all scenarios, with its cache."""
    context = await browser.new_context(**PROFILE)
    yield context
    await context.close()


@pytest.fixture(scope="module")
async def windows(profile: BrowserContext) -> list[Page]:
    """A window for each language."""
    return [await profile.new_page() for _ in LANGUAGES]


@contextlib.contextmanager
def visiting(
    world: World, windows: list[Page], callback_service: Service, proxies: list[FaultProxy]
) -> Iterator[list[Caller]]:
    both = []
    for window, proxy, lang in zip(windows, proxies, LANGUAGES, strict=True):
        proxy.clear()
        both.append(Caller(window, world, callback_service, proxy, lang))
    yield both
    for caller in both:
        caller.detach()


@pytest.fixture
def callers(
    shops: World, windows: list[Page], callback_service: Service, proxies: list[FaultProxy]
) -> Iterator[list[Caller]]:
    """A Russian and an English visitor."""
    with visiting(shops, windows, callback_service, proxies) as both:
        yield both


@pytest.fixture
def trusted(
    shops: World, windows: list[Page], callback_service: Service, proxies: list[FaultProxy]
) -> Iterator[list[Caller]]:
    """The same two on pages that can solve challenges."""
    trusted_world = TrustedWorld(shops.service, shops.chaser, shops.pages)
    with visiting(trusted_world, windows, callback_service, proxies) as both:
        yield both


@pytest.mark.parametrize("row", CALLED, ids=str)
async def test_the_visitor_is_called_once(callers: list[Caller], row: Row) -> None:
    async def scenario(caller: Caller) -> None:
        caller.proxy.plan(*row.behaviours)
        digits = await caller.begin()
        await caller.send()
        await caller.expect_accepted()
        bodies = caller.proxy.bodies
        assert bodies == bodies[:1] * row.sent
        assert len(await caller.calls(digits)) == 1

    await run_for_all(scenario, callers)


@pytest.mark.parametrize("row", REFUSED, ids=str)
async def test_an_error_is_shown_and_sending_again_calls_once(callers: list[Caller], row: Row) -> None:
    async def scenario(caller: Caller) -> None:
        caller.proxy.plan(*row.behaviours)
        digits = await caller.begin()
        shown = await caller.number.input_value()
        await caller.send()
        await caller.expect_error(row.error, row.wait)
        await expect(caller.number).to_have_value(shown)
        await expect(caller.phone_links).to_have_attribute("href", TEL)
        assert len(caller.proxy.bodies) == row.sent
        assert len(await caller.calls(digits)) == row.calls
        await caller.send()
        await caller.expect_accepted()
        # The browser can't know whether an earlier request was accepted.
        bodies = caller.proxy.bodies
        assert bodies == bodies[:1] * (row.sent + 1)
        assert len(await caller.calls(digits)) == 1

    await run_for_all(scenario, callers)


@pytest.mark.parametrize(("name", "code", "role", "label", "text"), FIELDS)
async def test_the_error_of_a_field_is_shown_beside_it(
    callers: list[Caller], name: str, code: str, role: Any, label: str | None, text: str
) -> None:
    async def scenario(caller: Caller) -> None:
        caller.proxy.plan(answering(422, "invalid", errors=[(name, code)]))
        digits = await caller.begin("asking")
        await caller.dialog.get_by_role("checkbox").check()
        control = caller.dialog.get_by_role(role, name=caller.words[label] if label else None)
        shown = await caller.number.input_value()
        await caller.send()
        await caller.expect_error(text)
        await expect(control).to_have_accessible_description(re.compile(re.escape(caller.words[text]) + "$"))
        await expect(control).to_have_attribute("aria-invalid", "true")
        await expect(control).to_be_focused()
        await expect(caller.number).to_have_value(shown)
        assert await caller.calls(digits) == []
        await caller.send()
        await caller.expect_accepted()
        assert len(await caller.calls(digits)) == 1

    await run_for_all(scenario, callers)


async def test_a_site_without_a_number_offers_none(callers: list[Caller]) -> None:
    async def scenario(caller: Caller) -> None:
        caller.proxy.plan(cut_before, cut_before)
        await caller.begin("plain")
        await caller.send()
        await caller.expect_error("network")
        await expect(caller.phone_links).to_have_count(0)

    await run_for_all(scenario, callers)


async def test_a_request_for_a_number_that_is_already_being_called_is_accepted(callers: list[Caller]) -> None:
    async def scenario(caller: Caller) -> None:
        digits = await caller.begin()
        origin = {"origin": caller.shops.pages.origin()}
        assert caller.shops.service.ask(origin, client_phone=digits).status_code == 202
        async with caller.page.expect_response("**/v1/callbacks") as answer:
            await caller.send()
        assert (await (await answer.value).json())["duplicate"] is False
        await caller.expect_accepted()
        assert len(await caller.calls(digits)) == 1

    await run_for_all(scenario, callers)


async def test_after_a_lost_answer_the_request_is_repeated_with_the_same_challenge(trusted: list[Caller]) -> None:
    async def scenario(caller: Caller) -> None:
        caller.proxy.plan(cut_after)
        digits = await caller.begin("guarded")
        await caller.send()
        await caller.expect_accepted()
        first, second = caller.proxy.bodies
        assert first["challenge"]
        assert first == second
        assert len(await caller.calls(digits)) == 1

    await run_for_all(scenario, trusted)


@pytest.mark.parametrize(
    "behaviour",
    [
        answering(403, "challenge_wrong"),
        answering(403, "challenge_expired"),
        answering(403, "challenge_too_fast", retry_after=1),
        answering(409, "challenge_used"),
    ],
    ids=["wrong", "expired", "too fast", "used"],
)
async def test_a_refused_challenge_is_replaced_silently(trusted: list[Caller], behaviour: Behaviour) -> None:
    async def scenario(caller: Caller) -> None:
        caller.proxy.plan(behaviour)
        digits = await caller.begin("guarded")
        await caller.send()
        await caller.expect_accepted()
        first, second = caller.proxy.bodies
        assert first["request_id"] == second["request_id"]
        assert first["challenge"] != second["challenge"]
        assert len(await caller.calls(digits)) == 1

    await run_for_all(scenario, trusted)


async def test_repeatedly_refused_challenges_are_shown_and_sending_again_solves_another(
    trusted: list[Caller],
) -> None:
    async def scenario(caller: Caller) -> None:
        caller.proxy.plan(*[answering(403, "challenge_wrong")] * 2)
        digits = await caller.begin("guarded")
        shown = await caller.number.input_value()
        await caller.send()
        await caller.expect_error("trouble", (1, "minute"))
        await expect(caller.number).to_have_value(shown)
        await expect(caller.phone_links).to_have_attribute("href", TEL)
        assert await caller.calls(digits) == []
        await caller.send()
        await caller.expect_accepted()
        bodies = caller.proxy.bodies
        assert len({body["request_id"] for body in bodies}) == 1
        assert len({body["challenge"] for body in bodies}) == len(bodies) == 3
        assert len(await caller.calls(digits)) == 1

    await run_for_all(scenario, trusted)
