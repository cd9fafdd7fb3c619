"""axe-core finds no violation, in any state, language and colour scheme."""

from pathlib import Path

import pytest

from tests.browser.screenshots import SCHEMES, STATES, State
from tests.browser.visitor import Visitor

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
FINDINGS = """() => axe.run("chaser-callback").then(({violations}) =>
    violations.map(({id, nodes}) => [id, ...nodes.map(node => node.failureSummary)]))"""


def marks(state: State) -> list[pytest.MarkDecorator]:
    """Return the marks of a state: one uses a fake clock."""
    return [pytest.mark.own_window] if state.name == "late" else []


@pytest.mark.parametrize("lang", ["ru", "en"])
@pytest.mark.parametrize("state", [pytest.param(state, id=state.name, marks=marks(state)) for state in STATES])
async def test_axe_finds_no_violation(visitor: Visitor, state: State, lang: str) -> None:
    visitor.expected_logs = ("Failed to load resource", "Chaser Callback: no answer")
    await visitor.visit_site(state.site, f'data-lang="{lang}"')
    await state.reach(visitor)
    # Through the debugging protocol, which works offline as well.
    await visitor.page.evaluate(AXE.read_text(encoding="utf-8"))
    for scheme in SCHEMES:
        await visitor.page.emulate_media(color_scheme=scheme)
        assert (scheme, await visitor.page.evaluate(FINDINGS)) == (scheme, [])
    for route in visitor.paused:
        await route.abort()


async def test_axe_finds_a_missing_label(visitor: Visitor) -> None:
    """Check that the test above can fail."""
    await visitor.visit()
    await visitor.open()
    await visitor.number.evaluate("field => field.getRootNode().querySelector('label').remove()")
    await visitor.number.evaluate("field => field.removeAttribute('placeholder')")
    await visitor.page.evaluate(AXE.read_text(encoding="utf-8"))
    assert "label" in [rule for rule, *_ in await visitor.page.evaluate(FINDINGS)]
