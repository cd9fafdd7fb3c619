"""UPGRADING.md: each new name in it exists, and the changelog has the version of the package."""

import re
from pathlib import Path

from app.version import VERSION

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "UPGRADING.md").read_text(encoding="utf-8")
SOURCE = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "app").rglob("*.py"))
METRICS = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")


def new_names(kind: str) -> list[str]:
    """Return the names in the right column of the table whose left column has that title."""
    table = PAGE.split(f"| {kind} of 0.1 | 0.2 |", 1)[1].split("\n\n", 1)[0]
    return [name for line in table.splitlines()[2:] for name in re.findall(r"`([^`]+)`", line.split("|")[2])]


def test_renamed_metrics_are_documented() -> None:
    names = new_names("metric")
    assert len(names) == 7
    assert [name for name in names if f"`{name}" not in METRICS] == []


def test_renamed_words_are_used() -> None:
    names = [*new_names("error code"), *new_names("reason, outcome or detail"), *new_names("log event")]
    assert len(names) == 30
    assert [name for name in names if f'"{name}"' not in SOURCE] == []


def test_the_changelog_begins_with_the_version_of_the_package() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## \[(.+?)\]", changelog, re.MULTILINE)[0] == VERSION
