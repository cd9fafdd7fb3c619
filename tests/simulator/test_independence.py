"""The simulator shares no code with the service. Otherwise both could have the same bug and no test would find it."""

import ast
from pathlib import Path

import pytest

import app.simulator

FOLDER = Path(app.simulator.__file__).parent


def imported(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide what they import"
            yield node.module


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_it_imports_nothing_of_the_service(path):
    of_project = [name for name in imported(path.read_text(encoding="utf-8")) if name.partition(".")[0] == "app"]
    assert [name for name in of_project if not name.startswith("app.simulator.")] == []
