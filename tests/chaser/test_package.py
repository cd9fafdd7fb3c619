"""app/chaser is a package that can be used without the service."""

import ast
import inspect
import re
from pathlib import Path

import pytest

import app.chaser
from app.chaser import chaser_errors

MODULES = sorted(Path(app.chaser.__file__).parent.glob("*.py"))
ALLOWED = {"httpx2", "pydantic"}


def imports_of(module: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(str(node.module).partition(".")[0])
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 1
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_the_package_imports_nothing_of_the_service(module: Path):
    import sys

    assert imports_of(module) <= set(sys.stdlib_module_names) | ALLOWED


def test_the_exported_names_exist_and_are_sorted():
    assert app.chaser.__all__ == sorted(app.chaser.__all__)
    for name in app.chaser.__all__:
        assert hasattr(app.chaser, name)


def test_the_tree_in_the_docstring_matches_the_error_classes():
    kinds = {kind: kind.__bases__[0] for _, kind in inspect.getmembers(chaser_errors, inspect.isclass)}
    drawn = re.findall(r"^( *[*x+]) (\w+)", inspect.getdoc(chaser_errors) or "", re.MULTILINE)
    parents: dict[str, str] = {}
    above: dict[str, str] = {}
    for mark, name in drawn:
        depth = "*x+".index(mark.strip())
        above[depth] = name
        parents[name] = above.get(depth - 1, "Exception")
    assert parents == {kind.__name__: base.__name__ for kind, base in kinds.items()}
    assert set(parents) <= set(app.chaser.__all__)
