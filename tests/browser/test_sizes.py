"""What the widget costs a visitor, as the service sends it."""

import gzip
from pathlib import Path

from tests.browser.world import World

WIDGET = Path(__file__).parents[2] / "widget"
LOADER, EVERYTHING = 3_072, 10_240


def test_the_loader_is_small(shops: World) -> None:
    assert size(shops, "/widget.js") <= LOADER


def test_all_files_together_are_small(shops: World) -> None:
    others = [f"/widget/any/{path.name}" for path in WIDGET.glob("*.js") if path.name != "widget.js"]
    assert size(shops, "/widget.js") + sum(size(shops, path) for path in others) <= EVERYTHING


def size(shops: World, path: str) -> int:
    """Give the length in bytes that a file has when gzip packs it as well as it can."""
    answer = shops.service.http.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/javascript")
    return len(gzip.compress(answer.content, 9, mtime=0))
