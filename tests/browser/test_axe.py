"""axe-core finds nothing, in any state, language and colour scheme."""

from pathlib import Path

import pytest

from tests.browser.screenshots import SCHEMES, STATES, State
from tests.browser.visitor import Visitor

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
FINDINGS = """() => axe.run("chaser-callback").then(({violations}) =>
    violations.map(({id, nodes}) => [id, ...nodes.map(node => node.failureSummary)]))"""


def marks(state: State) -> list[pytest.MarkDecorator]:
    """One of them moves the page's clock."""
    return [pytest.mark.own_window] if state.name == "late" else []


@pytest.mark.parametrize("lang", ["ru", "en"])
@pytest.mark.parametrize("state", [pytest.param(state, id=state.name, marks=marks(state)) for state in STATES])
async def test_axe_finds_nothing(visitor: Visitor, state: State, lang: str) -> None:
    visitor.expects = ("Failed to load resource", "Chaser Callback: no answer")
    await visitor.visit_site(state.site, f'data-lang="{lang}"')
    await state.reach(visitor)
    # By the debugger, which works offline as well.
    await visitor.page.evaluate(AXE.read_text(encoding="utf-8"))
    for scheme in SCHEMES:
        await visitor.page.emulate_media(color_scheme=scheme)
        assert (scheme, await visitor.page.evaluate(FINDINGS)) == (scheme, [])
    for held in visitor.held:
        await held.abort()


async def test_axe_finds_what_is_wrong(visitor: Visitor) -> None:
    """The control of the test above."""
    await visitor.visit()
    await visitor.open()
    await visitor.number.evaluate("field => field.getRootNode().querySelector('label').remove()")
    await visitor.number.evaluate("field => field.removeAttribute('placeholder')")
    await visitor.page.evaluate(AXE.read_text(encoding="utf-8"))
    assert "label" in [rule for rule, *_ in await visitor.page.evaluate(FINDINGS)]
