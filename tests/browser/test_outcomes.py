"""What is said to a visitor, what is sent again and whose phone rings, when things go well, badly and strangely.

Between the browser and the real service stands a real proxy, see between.py; calls are counted at the simulator.
Sentences are looked up in the widget's own words. Each story is told twice at the same time, in Russian and in English.
"""

import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.browser.between import Between, Treatment, answering, answering_with, cut_after, cut_before, cut_within
from tests.browser.caller import LANGUAGES, PROFILE, TEL, Caller, TrustedWorld, calling_service, tell
from tests.browser.world import World
from tests.running import Service

BUSY = answering(503, "overloaded", retry_after=1)
INTERNAL = answering(500, "internal")


@dataclass(frozen=True)
class Row:
    """`meets`: what the requests meet, each in its turn. `says`: a key of the widget's words, with the wait that stands
    behind it. `sent`: how many requests leave the browser before that is said; `rings`: the calls they made."""

    name: str
    meets: tuple[Treatment, ...]
    says: str = "error"
    sent: int = 1
    rings: int = 0
    wait: tuple[int, str] | None = None

    def __str__(self) -> str:
        return self.name


def field(name: str, code: str) -> tuple[Treatment]:
    return (answering(422, "invalid", errors=[(name, code)]),)


def foreign(status: int, body: str, media_type: str = "application/json") -> tuple[Treatment]:
    return (answering_with(status, body, media_type),)


CALLED = [
    Row("202", ()),
    Row("503 once", (BUSY,), sent=2),
    Row("cut before it arrived, once", (cut_before,), sent=2),
    Row("answer lost, once", (cut_after,), sent=2),
    Row("answer cut in the middle, once", (cut_within,), sent=2),
    Row("202 of a stranger, once", foreign(202, "<p>Log in</p>", "text/html"), sent=2),
    Row("200 of a stranger, once", foreign(200, "null"), sent=2),
]
REFUSED = [
    Row("403 for the origin", (answering(403, "origin_not_allowed"),), "blocked"),
    Row("403 of a firewall, in HTML", foreign(403, "<h1>Blocked</h1>", "text/html"), "blocked"),
    Row("403 of a firewall, errors null", foreign(403, '{"code": 1020, "errors": null}'), "blocked"),
    Row("403 of a firewall, odd errors", foreign(403, '{"errors": {"a": [1]}}'), "blocked"),
    Row("409", (answering(409, "invalid_state"),)),
    Row("413", (answering(413, "too_large"),)),
    Row("422 without a field", (answering(422, "request_id_reused"),)),
    Row("422 for a field nobody sees", field("active_page", "too_long")),
    Row("422 for a consent nobody was asked for", field("consent", "consent_outdated")),
    Row("422 for a department nobody was offered", field("department", "unknown_department")),
    Row("429 for seconds", (answering(429, "rate_limited", retry_after=20),), "too_many", wait=(1, "minute")),
    Row("429 for minutes", (answering(429, "quota_client", retry_after=1501),), "too_many", wait=(26, "minute")),
    Row("429 for a day", (answering(429, "quota_site", retry_after=86_400),), "too_many", wait=(24, "hour")),
    Row("500 in the service's shape", (INTERNAL,), "trouble", wait=(1, "minute")),
    Row("500 of a stranger, null", foreign(500, "null"), "trouble", wait=(1, "minute")),
    Row("502 of a proxy, empty", foreign(502, "", "text/html"), "trouble", wait=(1, "minute")),
    Row("503 always", (BUSY, BUSY), "trouble", sent=2, wait=(1, "minute")),
    Row("503, then cut", (BUSY, cut_before), "network", sent=2),
    Row("cut before it arrived, always", (cut_before, cut_before), "network", sent=2),
    Row("answer lost, always", (cut_after, cut_after), "network", sent=2, rings=1),
    Row("answer cut in the middle, always", (cut_within, cut_within), "network", sent=2, rings=1),
    Row("answer lost, then 500", (cut_after, INTERNAL), "trouble", sent=2, rings=1, wait=(1, "minute")),
]
# What the service says of a field, the control beside which the visitor reads it, and the key of what they read.
FIELDS = [
    ("client_phone", "phone_premium_rate", "textbox", "phone", "phone_refused"),
    ("client_phone", "phone_region", "textbox", "phone", "phone_region"),
    ("consent", "consent_required", "checkbox", None, "consent_required"),
    ("consent", "consent_outdated", "checkbox", None, "error"),
    ("department", "unknown_department", "combobox", "department", "error"),
    ("planned_time", "planned_time_past", "combobox", "time", "time_refused"),
]


@pytest.fixture(scope="module")
def here(shops: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with calling_service(shops, tmp_path_factory.mktemp("outcomes")) as running:
        yield running


@pytest.fixture(scope="module")
async def lines(here: Service) -> AsyncIterator[list[Between]]:
    """A proxy for each language. They stay where they are, so that the browser keeps what it loaded through them."""
    async with Between(here.url) as one, Between(here.url) as other:
        yield [one, other]


@pytest.fixture(scope="module")
async def profile(browser: Browser) -> AsyncIterator[BrowserContext]:
    """What the browser keeps from one story to the next."""
    context = await browser.new_context(**PROFILE)
    yield context
    await context.close()


@pytest.fixture(scope="module")
async def windows(profile: BrowserContext) -> list[Page]:
    """Where the stories happen, one after another."""
    return [await profile.new_page() for _ in LANGUAGES]


@contextlib.contextmanager
def visiting(world: World, windows: list[Page], here: Service, lines: list[Between]) -> Iterator[list[Caller]]:
    both = []
    for window, line, lang in zip(windows, lines, LANGUAGES, strict=True):
        line.forget()
        both.append(Caller(window, world, here, line, lang))
    yield both
    for caller in both:
        caller.leave()


@pytest.fixture
def callers(shops: World, windows: list[Page], here: Service, lines: list[Between]) -> Iterator[list[Caller]]:
    """A Russian and an English visitor."""
    with visiting(shops, windows, here, lines) as both:
        yield both


@pytest.fixture
def trusted(shops: World, windows: list[Page], here: Service, lines: list[Between]) -> Iterator[list[Caller]]:
    """The same two on pages that can solve challenges."""
    with visiting(TrustedWorld(shops.service, shops.chaser, shops.pages), windows, here, lines) as both:
        yield both


@pytest.mark.parametrize("row", CALLED, ids=str)
async def test_the_visitor_is_called_once(callers: list[Caller], row: Row) -> None:
    async def story(caller: Caller) -> None:
        caller.line.plan(*row.meets)
        digits = await caller.begin()
        await caller.send()
        await caller.is_accepted()
        bodies = caller.line.bodies
        assert bodies == bodies[:1] * row.sent
        assert len(await caller.calls(digits)) == 1

    await tell(story, callers)


@pytest.mark.parametrize("row", REFUSED, ids=str)
async def test_what_went_wrong_is_said_and_pressing_again_calls_once(callers: list[Caller], row: Row) -> None:
    async def story(caller: Caller) -> None:
        caller.line.plan(*row.meets)
        digits = await caller.begin()
        shown = await caller.number.input_value()
        await caller.send()
        await caller.reads(row.says, row.wait)
        await expect(caller.number).to_have_value(shown)
        await expect(caller.links_to_call).to_have_attribute("href", TEL)
        assert len(caller.line.bodies) == row.sent
        assert len(await caller.calls(digits)) == row.rings
        await caller.send()
        await caller.is_accepted()
        # An earlier one may have been accepted, which the browser can't know.
        bodies = caller.line.bodies
        assert bodies == bodies[:1] * (row.sent + 1)
        assert len(await caller.calls(digits)) == 1

    await tell(story, callers)


@pytest.mark.parametrize(("name", "code", "role", "label", "says"), FIELDS)
async def test_what_is_wrong_with_a_field_is_said_beside_it(
    callers: list[Caller], name: str, code: str, role: Any, label: str | None, says: str
) -> None:
    async def story(caller: Caller) -> None:
        caller.line.plan(answering(422, "invalid", errors=[(name, code)]))
        digits = await caller.begin("asking")
        await caller.dialog.get_by_role("checkbox").check()
        control = caller.dialog.get_by_role(role, name=caller.words[label] if label else None)
        shown = await caller.number.input_value()
        await caller.send()
        await caller.reads(says)
        await expect(control).to_have_accessible_description(re.compile(re.escape(caller.words[says]) + "$"))
        await expect(control).to_have_attribute("aria-invalid", "true")
        await expect(control).to_be_focused()
        await expect(caller.number).to_have_value(shown)
        assert await caller.calls(digits) == []
        await caller.send()
        await caller.is_accepted()
        assert len(await caller.calls(digits)) == 1

    await tell(story, callers)


async def test_a_site_without_a_number_offers_none(callers: list[Caller]) -> None:
    async def story(caller: Caller) -> None:
        caller.line.plan(cut_before, cut_before)
        await caller.begin("plain")
        await caller.send()
        await caller.reads("network")
        await expect(caller.links_to_call).to_have_count(0)

    await tell(story, callers)


async def test_a_request_for_a_number_that_is_being_called_already_is_accepted(callers: list[Caller]) -> None:
    async def story(caller: Caller) -> None:
        digits = await caller.begin()
        origin = {"origin": caller.shops.pages.origin()}
        assert caller.shops.service.ask(origin, client_phone=digits).status_code == 202
        async with caller.page.expect_response("**/v1/callbacks") as answer:
            await caller.send()
        assert (await (await answer.value).json())["duplicate"] is True
        await caller.is_accepted()
        assert len(await caller.calls(digits)) == 1

    await tell(story, callers)


async def test_a_lost_answer_is_asked_for_again_with_the_same_challenge(trusted: list[Caller]) -> None:
    async def story(caller: Caller) -> None:
        caller.line.plan(cut_after)
        digits = await caller.begin("guarded")
        await caller.send()
        await caller.is_accepted()
        first, second = caller.line.bodies
        assert first["challenge"]
        assert first == second
        assert len(await caller.calls(digits)) == 1

    await tell(story, trusted)


@pytest.mark.parametrize(
    "meets",
    [
        answering(403, "challenge_wrong"),
        answering(403, "challenge_expired"),
        answering(403, "challenge_too_fast", retry_after=1),
        answering(409, "challenge_used"),
    ],
    ids=["wrong", "expired", "too fast", "used"],
)
async def test_a_challenge_that_is_refused_is_replaced_without_a_word(trusted: list[Caller], meets: Treatment) -> None:
    async def story(caller: Caller) -> None:
        caller.line.plan(meets)
        digits = await caller.begin("guarded")
        await caller.send()
        await caller.is_accepted()
        first, second = caller.line.bodies
        assert first["request_id"] == second["request_id"]
        assert first["challenge"] != second["challenge"]
        assert len(await caller.calls(digits)) == 1

    await tell(story, trusted)


async def test_challenges_that_are_refused_again_and_again_are_said_and_pressing_again_solves_another(
    trusted: list[Caller],
) -> None:
    async def story(caller: Caller) -> None:
        caller.line.plan(*[answering(403, "challenge_wrong")] * 2)
        digits = await caller.begin("guarded")
        shown = await caller.number.input_value()
        await caller.send()
        await caller.reads("trouble", (1, "minute"))
        await expect(caller.number).to_have_value(shown)
        await expect(caller.links_to_call).to_have_attribute("href", TEL)
        assert await caller.calls(digits) == []
        await caller.send()
        await caller.is_accepted()
        bodies = caller.line.bodies
        assert len({body["request_id"] for body in bodies}) == 1
        assert len({body["challenge"] for body in bodies}) == len(bodies) == 3
        assert len(await caller.calls(digits)) == 1

    await tell(story, trusted)
