"""The threat model names a test for each of its lines, and each is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROWS = [
    row
    for row in (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8").splitlines()
    if row.startswith("| ") and not row.startswith("| Who, with what")
]


def test_every_line_points_at_a_test_that_exists() -> None:
    assert ROWS
    for row in ROWS:
        named = re.search(r"`(tests/[\w/]+\.py)(?:::(test_\w+))?` \|$", row)
        assert named is not None, row
        text = (ROOT / named[1]).read_text(encoding="utf-8")
        assert f"def {named[2] or 'test_'}" in text, row
