"""The threat model names a test in each of its lines, and each test exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROWS = [
    row
    for row in (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8").splitlines()
    if row.startswith("| ") and not row.startswith("| Attack |")
]


def test_every_line_names_a_test_that_exists() -> None:
    assert ROWS
    for row in ROWS:
        reference = re.search(r"`(tests/[\w/]+\.py)(?:::(test_\w+))?` \|$", row)
        assert reference is not None, row
        text = (ROOT / reference[1]).read_text(encoding="utf-8")
        assert f"def {reference[2] or 'test_'}" in text, row
