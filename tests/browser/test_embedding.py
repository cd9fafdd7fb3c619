"""The widget on other people's pages: strict policies, hostile style sheets, languages, and mistakes in the tag."""

import pytest
from playwright.async_api import expect

from tests.browser.visitor import Visitor
from tests.browser.world import HTML

NO_ANSWER = "Chaser Callback: no answer"


async def test_the_whole_job_works_under_a_strict_content_security_policy(visitor: Visitor) -> None:
    service = visitor.shops.base
    policy = (
        f"default-src 'none'; script-src {service}; connect-src {service}; img-src data:; base-uri 'none'; "
        "form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )
    await visitor.visit(headers={"content-security-policy": policy})
    await visitor.open()
    await visitor.ask()
    await expect(visitor.title).to_have_text("We’re calling you")
    button = visitor.dialog.get_by_role("button", name="Close").last
    assert await button.evaluate("element => getComputedStyle(element).borderRadius") == "12px"


async def test_a_page_that_unsets_all_styles_changes_nothing(visitor: Visitor) -> None:
    looks = []
    hostile = """<style>
        * { all: unset !important; --fill: red !important }
        chaser-callback { display: none !important; transform: scale(0.5) !important; opacity: 0 !important }
    </style>"""
    for style in ("", hostile):
        await visitor.visit(body=style)
        await visitor.open()
        box = await visitor.dialog.bounding_box()
        fab = await visitor.button.bounding_box()
        color = await visitor.button.evaluate("element => getComputedStyle(element).backgroundColor")
        looks.append((box, fab, color))
    assert looks[0] == looks[1]


async def test_a_page_with_the_largest_z_index_does_not_cover_the_dialog(visitor: Visitor) -> None:
    cover = '<div style="position: fixed; inset: 0; z-index: 2147483647; background: #fff" data-chaser-callback>'
    await visitor.visit(body=cover)
    await visitor.page.mouse.click(5, 5)
    await visitor.dialog.wait_for()
    await visitor.number.click()
    await expect(visitor.number).to_be_focused()


async def test_a_page_from_right_to_left_keeps_the_widget_readable(visitor: Visitor) -> None:
    await visitor.visit(body='<script>document.documentElement.dir = "rtl"</script>')
    await visitor.open()
    assert await visitor.dialog.evaluate("element => getComputedStyle(element).direction") == "ltr"


async def test_two_tags_make_one_widget(visitor: Visitor) -> None:
    visitor.expected_logs = ("Chaser Callback: this page has a second script tag.",)
    await visitor.visit(visitor.shops.tag() + visitor.shops.tag('data-site="consent"'))
    await visitor.page.wait_for_load_state()
    await expect(visitor.page.locator("chaser-callback")).to_have_count(1)
    await expect(visitor.button).to_have_count(1)
    assert len(visitor.hints()) == 1


@pytest.mark.parametrize(
    ("page_language", "attributes", "label"),
    [
        ("ru", "", "Заказать звонок"),
        ("ru-RU", "", "Заказать звонок"),
        ("EN", "", "Request a call"),
        ("ru", 'data-lang="en"', "Request a call"),
        ("en", 'data-lang="ru"', "Заказать звонок"),
        ("de", "", "Request a call"),
        ("", "", "Request a call"),
    ],
)
async def test_the_language_is_that_of_the_tag_or_the_page_or_the_browser(
    visitor: Visitor, page_language: str, attributes: str, label: str
) -> None:
    html = HTML.replace('lang="en"', f'lang="{page_language}"')
    address = visitor.shops.pages.add(html + visitor.shops.tag(f'data-site="shop" {attributes}'))
    await visitor.page.goto(address)
    await expect(visitor.button).to_have_accessible_name(label)
    await visitor.open()
    await expect(visitor.title).to_have_text("Мы вам перезвоним" if label[0] == "З" else "We’ll call you back")


@pytest.mark.own_window
async def test_a_russian_browser_decides_where_the_page_names_no_language(visitor: Visitor) -> None:
    await visitor.page.add_init_script("Object.defineProperty(navigator, 'languages', {get: () => ['uk', 'ru', 'en']})")
    html = HTML.replace(' lang="en"', "")
    await visitor.page.goto(visitor.shops.pages.add(html + visitor.shops.tag()))
    await expect(visitor.button).to_have_accessible_name("Заказать звонок")


async def test_the_owners_texts_and_side_and_colour_are_used(visitor: Visitor) -> None:
    await visitor.visit_site("worded")
    await expect(visitor.button).to_have_accessible_name("Call a florist")
    await visitor.open()
    await expect(visitor.title).to_have_text("Talk to a florist")
    await visitor.visit_site("consent")
    box = await visitor.button.bounding_box()
    assert box is not None
    assert box["x"] == 20


@pytest.mark.parametrize(
    ("attributes", "hint"),
    [
        ("", 'Chaser Callback: the script tag needs data-site="…".'),
        ('data-site-id="7"', "Chaser Callback: data-site-id is unknown. Did you mean data-site?"),
        ('data-site="shop" data-language="ru"', "Chaser Callback: data-language is unknown. Did you mean data-lang?"),
    ],
)
async def test_an_error_in_the_tag_is_explained_in_the_console(visitor: Visitor, attributes: str, hint: str) -> None:
    visitor.expected_logs = ("Chaser Callback: ",)
    async with visitor.page.expect_console_message(lambda message: message.text == hint):
        await visitor.page.goto(visitor.shops.page(visitor.shops.tag(attributes)))


async def test_data_attributes_of_other_tools_are_ignored(visitor: Visitor) -> None:
    await visitor.visit_site("shop", 'data-cfasync="false" data-cookieconsent="x" data-lazy-src="y" data-turbo="1"')
    assert visitor.hints() == []


async def test_an_unknown_site_is_named_in_the_console(visitor: Visitor) -> None:
    visitor.expected_logs = ("Failed to load resource", "Chaser Callback: data-site is wrong")
    async with visitor.page.expect_console_message(lambda message: "SITES__SHOPP__SITE_ID" in message.text):
        await visitor.page.goto(visitor.shops.page(visitor.shops.tag('data-site="shopp"')))
    await expect(visitor.button).to_have_count(0)


@pytest.mark.parametrize(("site", "host"), [("elsewhere", "shop.test"), ("shop", "127.0.0.1")])
async def test_an_origin_that_is_not_allowed_gets_no_button_and_the_console_shows_the_fix(
    visitor: Visitor, site: str, host: str
) -> None:
    visitor.expected_logs = (NO_ANSWER,)
    address = visitor.shops.page(visitor.shops.tag(f'data-site="{site}"')).replace("shop.test", host)
    fix = f'SITES__{site.upper()}__ORIGINS=["{visitor.shops.pages.origin(host)}"]'
    async with visitor.page.expect_console_message(lambda message: fix in message.text):
        await visitor.page.goto(address)
    await expect(visitor.button).to_have_count(0)
    assert await visitor.page.evaluate("chaserCallback.ready") is False


async def test_a_request_from_an_origin_that_is_not_allowed_is_explained_in_the_console(visitor: Visitor) -> None:
    visitor.expected_logs = ("Failed to load resource", NO_ANSWER)
    async with visitor.page.expect_console_message(lambda message: message.text.startswith(NO_ANSWER)):
        await visitor.page.goto(visitor.shops.page(visitor.shops.tag('data-site="elsewhere"')))
    refused = "chaserCallback.submit({client_phone: '+79161234567'}).catch(error => [error.code, error.status])"
    assert await visitor.page.evaluate(refused) == ["origin_not_allowed", 403]
    # The settings are fetched once more, because the request may need a challenge.
    assert len(visitor.hints()) == 3
    assert len(set(visitor.hints())) == 1


async def test_the_widget_survives_a_page_that_replaces_its_body(visitor: Visitor) -> None:
    await visitor.visit()
    await visitor.page.evaluate("document.body.replaceWith(document.createElement('body'))")
    await visitor.open()
    await expect(visitor.number).to_be_focused()
