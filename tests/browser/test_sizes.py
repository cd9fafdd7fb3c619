"""The size of the widget's files as the service sends them."""

import gzip
from pathlib import Path

import pytest

from tests.browser.world import World

WIDGET = Path(__file__).parents[2] / "widget"
LANGUAGES = ("ru", "en")
LOADER, EVERYTHING = 3_072, 10_240


def test_the_loader_is_small(shops: World) -> None:
    assert size(shops, "/widget.js") <= LOADER


@pytest.mark.parametrize("language", LANGUAGES)
def test_all_files_for_one_visitor_are_small(shops: World, language: str) -> None:
    """All files except the messages of the other languages."""
    foreign = {f"messages.{other}.js" for other in LANGUAGES if other != language}
    modules = {path.name for path in WIDGET.glob("*.js")} - {"widget.js"} - foreign
    assert f"messages.{language}.js" in modules
    total = size(shops, "/widget.js") + sum(size(shops, f"/widget/any/{name}") for name in modules)
    assert total <= EVERYTHING


def test_there_are_no_other_languages() -> None:
    assert {path.name for path in WIDGET.glob("messages.*.js")} == {f"messages.{name}.js" for name in LANGUAGES}


def size(shops: World, path: str) -> int:
    """Return the length of a file in bytes, compressed with gzip at its highest level."""
    answer = shops.service.http.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/javascript")
    return len(gzip.compress(answer.content, 9, mtime=0))
