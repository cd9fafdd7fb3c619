"""window.chaserCallback, its events, and everything else that a page's own scripts can use."""

import pytest
from playwright.async_api import expect

from tests.browser.test_refusals import answering
from tests.browser.visitor import Visitor
from tests.running import phone

# The snippet of demo.html.
STUB = """<script>
(w => {
  const c = w.chaserCallback = w.chaserCallback || { q: [] };
  for (const m of ["open", "close", "submit", "on"])
    c[m] = c[m] || ((...a) => new Promise((y, n) => c.q.push([m, a, y, n])));
})(window);
</script>"""
LISTEN = """<script>
var seen = [];
for (const name of ["ready", "open", "close", "accepted", "refused", "status"])
  document.addEventListener("chaser-callback:" + name, event => seen.push([name, event.detail]));
</script>"""


async def test_calls_made_before_the_loader_has_loaded_are_executed_afterwards(visitor: Visitor) -> None:
    number = phone()
    early = f"""<script>
var heard = [];
chaserCallback.on("accepted", callback => heard.push(callback.id));
chaserCallback.open();
var asked = chaserCallback.submit({{client_phone: "{number}"}});
</script>"""
    await visitor.visit(STUB + early + visitor.shops.tag())
    await visitor.dialog.wait_for()
    callback = await visitor.page.evaluate("asked")
    assert set(callback) == {"id", "status", "created_at", "call_expected_at", "duplicate"}
    assert await visitor.page.evaluate("heard") == [callback["id"]]
    visitor.shops.service.wait_for(callback["id"], "placed")
    assert len(visitor.shops.chaser.calls(client_phone=number)) == 1


async def test_references_to_the_stubs_functions_keep_working(visitor: Visitor) -> None:
    taken = "<script>var { open } = chaserCallback; var before = chaserCallback</script>"
    await visitor.visit(STUB + taken + visitor.shops.tag())
    assert await visitor.page.evaluate("before === chaserCallback")
    await visitor.page.evaluate("{ open() }")
    await expect(visitor.dialog).to_be_visible()


async def test_a_stub_may_queue_method_names_without_arguments(visitor: Visitor) -> None:
    stub = '<script>window.chaserCallback = {q: [], open() { this.q.push(["open"]) }}; chaserCallback.open()</script>'
    await visitor.visit(stub + visitor.shops.tag())
    await expect(visitor.dialog).to_be_visible()


async def test_submit_without_the_dialog_returns_the_answer_of_the_service(visitor: Visitor) -> None:
    await visitor.visit(LISTEN + visitor.shops.tag())
    callback = await visitor.page.evaluate(f"chaserCallback.submit({{client_phone: '{phone()}'}})")
    assert callback["status"] == "queued"
    assert callback["duplicate"] is False
    await visitor.page.wait_for_function("seen.some(([name]) => name === 'status')")
    assert [name for name, _ in await visitor.page.evaluate("seen")] == ["ready", "accepted", "status"]
    await expect(visitor.dialog).to_have_count(0)


async def test_submit_rejects_with_the_code_and_the_wrong_fields(visitor: Visitor) -> None:
    visitor.expected_logs = ("Failed to load resource",)
    await visitor.visit(LISTEN + visitor.shops.tag())
    refusal = await visitor.page.evaluate("""chaserCallback.submit({client_phone: "112"}).catch(error => ({
        isError: error instanceof Error, code: error.code, status: error.status, field: error.errors[0].field,
        wrong: error.errors[0].code, retry_after: error.retry_after}))""")
    assert refusal == {
        "isError": True,
        "code": "invalid",
        "status": 422,
        "field": "client_phone",
        "wrong": "phone_short_number",
        "retry_after": 0,
    }
    [refused] = [detail for name, detail in await visitor.page.evaluate("seen") if name == "refused"]
    assert refused["code"] == "invalid"


TYPED = """fields => chaserCallback.submit(fields).catch(error =>
    [error instanceof Error, error.code, error.status, error.errors, error.retry_after])"""


@pytest.mark.parametrize("lost", ["**/callbacks.js", "**/v1/callbacks"])
async def test_submit_rejects_with_a_typed_error_whatever_cannot_be_loaded(visitor: Visitor, lost: str) -> None:
    visitor.expected_logs = ("Failed to load resource", "Chaser Callback: no answer")
    await visitor.visit()
    await visitor.page.route(lost, lambda route: route.abort())
    assert await visitor.page.evaluate(TYPED, {"client_phone": "1"}) == [True, "network", 0, [], 0]


async def test_submit_rejects_with_a_typed_error_if_no_challenge_is_issued(visitor: Visitor) -> None:
    visitor.expected_logs = ("Failed to load resource", "Chaser Callback: no answer")
    await visitor.page.route("**/v1/challenge?*", answering(503, "overloaded"))
    await visitor.page.route("**/v1/callbacks", answering(403, "challenge_missing"))
    await visitor.visit(LISTEN + visitor.shops.tag())
    assert await visitor.page.evaluate(TYPED, {"client_phone": "1"}) == [True, "overloaded", 503, [], 0]
    [refused] = [detail for name, detail in await visitor.page.evaluate("seen") if name == "refused"]
    assert refused == {"code": "overloaded", "status": 503, "errors": [], "retry_after": 0}


async def test_submit_rejects_with_a_typed_error_if_the_fields_cannot_be_written_as_json(visitor: Visitor) -> None:
    visitor.expected_logs = ("Chaser Callback: no answer",)
    await visitor.visit()
    typed = await visitor.page.evaluate(f"({TYPED})((() => {{ const own = {{}}; own.own = own; return own; }})())")
    assert typed == [True, "error", 0, [], 0]


@pytest.mark.own_window
async def test_submit_waits_ten_seconds_for_missing_settings_and_is_then_sent(visitor: Visitor) -> None:
    visitor.expected_logs = ("Chaser Callback: no answer",)
    await visitor.page.clock.install()
    await visitor.page.route("**/v1/sites/*", lambda route: visitor.paused.append(route))  # noqa: PLW0108
    async with visitor.page.expect_request("**/v1/sites/*"):
        await visitor.page.goto(visitor.shops.page())
    asked = "phone => { window.asked = chaserCallback.submit({ client_phone: phone }); }"
    await visitor.page.evaluate(asked, phone())
    await visitor.page.wait_for_load_state()
    await visitor.page.clock.run_for(10_500)
    assert (await visitor.page.evaluate("asked"))["status"] == "queued"


async def test_the_events_of_a_visit_come_in_order_and_bubble(visitor: Visitor) -> None:
    await visitor.visit(LISTEN + visitor.shops.tag())
    await visitor.open()
    await visitor.ask()
    await expect(visitor.title).to_have_text("We’re calling you")
    await visitor.page.keyboard.press("Escape")
    await visitor.page.wait_for_function("seen.at(-1)[0] === 'close'")
    seen = await visitor.page.evaluate("seen")
    assert [name for name, _ in seen] == ["ready", "open", "accepted", "status", "close"]
    facts = dict(seen)
    assert facts["ready"]["site"] == "shop"
    assert facts["status"] == {
        "id": facts["accepted"]["id"],
        "status": "placed",
        "call_expected_at": facts["accepted"]["call_expected_at"],
    }


async def test_a_removed_listener_is_not_called(visitor: Visitor) -> None:
    await visitor.visit()
    await visitor.page.evaluate("""() => {
        window.count = 0;
        window.end = chaserCallback.on("open", () => count++);
    }""")
    await visitor.open()
    await visitor.page.evaluate("chaserCallback.close()")
    await expect(visitor.dialog).to_have_count(0)
    await visitor.page.evaluate("end()")
    await visitor.open()
    assert await visitor.page.evaluate("count") == 1


async def test_a_late_listener_for_ready_is_called_at_once(visitor: Visitor) -> None:
    await visitor.visit()
    facts = await visitor.page.evaluate("new Promise(done => chaserCallback.on('ready', done))")
    assert facts["site"] == "shop"


async def test_close_before_the_dialog_has_loaded_keeps_it_closed(visitor: Visitor) -> None:
    await visitor.visit()
    await visitor.page.evaluate("{ chaserCallback.open(); chaserCallback.close() }")
    await visitor.page.evaluate("chaserCallback.on('open', () => { throw new Error('it opened') })")
    await visitor.page.wait_for_function("document.querySelector('chaser-callback').shadowRoot.querySelector('dialog')")
    await expect(visitor.dialog).to_have_count(0)


async def test_any_element_with_the_attribute_opens_the_dialog(visitor: Visitor) -> None:
    body = """<a href="/elsewhere" data-chaser-callback><b>Call me</b></a>
        <script>document.querySelector("a").onclick = event => event.stopPropagation()</script>"""
    await visitor.visit(body=body)
    await visitor.page.click("b")
    await expect(visitor.dialog).to_be_visible()
    assert not visitor.page.url.endswith("/elsewhere")
    await visitor.page.keyboard.press("Escape")
    await expect(visitor.page.locator("body > a")).to_be_focused()


async def test_a_link_stays_a_link_while_the_service_is_unreachable(visitor: Visitor) -> None:
    visitor.expected_logs = ("Failed to load resource", "Chaser Callback: no answer")
    await visitor.page.route("**/v1/sites/*", lambda route: route.abort())
    async with visitor.page.expect_console_message(lambda message: "no answer" in message.text):
        await visitor.page.goto(visitor.shops.page(body='<a href="#contacts" data-chaser-callback>Call me</a>'))
    await visitor.page.click("a")
    await visitor.page.wait_for_url("**#contacts")


async def test_the_dialog_is_loaded_on_intent_and_not_before(visitor: Visitor) -> None:
    await visitor.visit()
    loaded = [request.url.rpartition("/")[2] for request in visitor.requests if request.url.endswith(".js")]
    assert loaded == ["widget.js"]
    async with visitor.page.expect_request("**/dialog.js"):
        await visitor.button.hover()


@pytest.mark.own_window  # launching tel: has effects that outlive the page
async def test_a_visitor_gets_the_sites_number_when_the_dialog_cannot_be_loaded(visitor: Visitor) -> None:
    visitor.expected_logs = ("Failed to load resource", "Failed to launch 'tel:")
    await visitor.visit()
    await visitor.page.route("**/dialog.js", lambda route: route.abort())
    await visitor.page.evaluate("void (navigation.onnavigate = event => { window.went = event.destination.url })")
    await visitor.button.click()
    await visitor.page.wait_for_function("window.went === 'tel:+74951234567'")


async def test_a_dialog_that_could_not_be_loaded_is_loaded_at_the_next_click(visitor: Visitor) -> None:
    visitor.expected_logs = ("Failed to load resource",)
    await visitor.visit()
    await visitor.page.route("**/dialog.js", lambda route: route.abort(), times=1)
    async with visitor.page.expect_event("requestfailed"):
        await visitor.button.hover()
    await visitor.open()
    await expect(visitor.number).to_be_focused()
