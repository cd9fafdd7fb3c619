"""The choice of a department."""

from playwright.async_api import expect

from tests.browser.visitor import Visitor


async def test_the_chosen_department_is_sent_and_its_manager_is_called(visitor: Visitor) -> None:
    await visitor.visit_site("departments")
    await visitor.open()
    choice = visitor.dialog.get_by_label("Department")
    assert await choice.locator("option").all_inner_texts() == ["Sales", "Repairs"]
    await choice.select_option(label="Repairs")
    await visitor.dialog.get_by_role("checkbox").check()
    typed = await visitor.ask()
    await expect(visitor.title).to_have_text("We’re calling you")
    assert visitor.sent()[0]["department"] == "repairs"
    [call] = visitor.shops.chaser.calls(client_phone=typed.lstrip("+"))
    assert call["params"]["manager_phone"] == "74950000001"


async def test_without_a_choice_the_first_department_is_sent(visitor: Visitor) -> None:
    await visitor.visit_site("departments")
    await visitor.open()
    await visitor.dialog.get_by_role("checkbox").check()
    await visitor.ask()
    await expect(visitor.title).to_have_text("We’re calling you")
    assert visitor.sent()[0]["department"] == "sales"


async def test_a_site_without_departments_shows_and_sends_none(visitor: Visitor) -> None:
    await visitor.visit()
    await visitor.open()
    await expect(visitor.dialog.get_by_label("Department")).to_have_count(0)
    await visitor.ask()
    await expect(visitor.title).to_have_text("We’re calling you")
    assert "department" not in visitor.sent()[0]


async def test_the_countries_of_a_site_are_listed_unless_it_is_russia_alone(
    visitor: Visitor,
) -> None:
    await visitor.visit_site("neighbours")
    await visitor.open()
    await expect(visitor.number).to_have_accessible_name("Phone number (Russia, Kazakhstan)")
    await visitor.visit_site("foreign", 'data-lang="ru"')
    await visitor.open()
    await expect(visitor.number).to_have_accessible_name("Номер телефона (Германия)")
    await expect(visitor.number).to_have_attribute("placeholder", "+")
