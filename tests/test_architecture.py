"""The shape of the code: short modules with names of their own, in plain words, tested by their public members.

The directions of the imports are contracts of import-linter, in pyproject.toml; `make lint` checks them.
"""

import ast
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(ROOT.glob("app/**/*.py"))
}
SCRIPTS = sorted(ROOT.glob("widget/*.js"))
TESTS = sorted(ROOT.glob("tests/**/*.py"))


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def private_names(source: str) -> set[str]:
    """Return the private names that a module defines: its functions, classes, constants, and their attributes."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
    return set(filter(is_private, found))


def reaches_of(source: str, private: set[str]) -> Iterator[str]:
    """Return where a test reaches for private members of the service; its own objects may have some of that name."""
    own = private_names(source)
    for node in ast.walk(ast.parse(source)):
        found: list[str] = []
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "app":
            found = [alias.name for alias in node.names if is_private(alias.name)]
        elif isinstance(node, ast.Attribute) and node.attr in private:
            its_own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls") and node.attr in own
            found = [] if its_own else [node.attr]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in BY_NAME:
            names = [text.value for text in node.args if isinstance(text, ast.Constant) and isinstance(text.value, str)]
            found = [name for name in names if name.rpartition(".")[2] in private]
        yield from (f"line {node.lineno}: {name}" for name in found)


PRIVATE = {name for path in MODULES.values() for name in private_names(path.read_text(encoding="utf-8"))}
BY_NAME = {"getattr", "setattr", "delattr", "hasattr", "patch", "object"}
"""Functions that accept a member's name as a string: Python's own, those of monkeypatch and of unittest.mock."""


def test_a_module_name_leads_to_one_module() -> None:
    """A stack trace, or a search for a name, must not lead to three files. A package may have a module of its name."""
    names = [
        name.split(".")[-1] for name in MODULES if name.split(".")[-1] not in ("__main__", *name.split(".")[-2:-1])
    ]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_begin_with_a_verb_of_the_field(name: str) -> None:
    """Return, Insert, Lock, Claim, Retry, Validate, Parse: the words that people search for."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    texts = [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, documented)]
    assert [text for text in texts if re.match(r"(Give|Tell|Let|Take|Say|Be|Look)\b", text)] == []


@pytest.mark.parametrize("name", MODULES)
def test_only_the_settings_read_the_environment(name: str) -> None:
    """The demo reads it to keep a real service's settings away from the service that it starts."""
    used = re.search(r"\bos\.environ\b|\bos\.getenv\b|\bgetenv\(", MODULES[name].read_text(encoding="utf-8"))
    assert not used or name.startswith(("app.settings.", "app.demo"))


@pytest.mark.parametrize("path", [*MODULES.values(), *SCRIPTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_is_longer_than_300_lines(path: Path) -> None:
    assert lines(path) <= 300


@pytest.mark.parametrize("paths", [list(MODULES.values()), SCRIPTS], ids=["app", "widget"])
def test_the_median_module_has_at_most_120_lines(paths: list[Path]) -> None:
    assert statistics.median(map(lines, paths)) <= 120


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_test_reaches_for_nothing_private(path: Path) -> None:
    assert list(reaches_of(path.read_text(encoding="utf-8"), PRIVATE)) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from app.delivery.worker import _Call, Worker", ["_Call"]),
        ("outbox._write(work)", ["_write"]),
        ("self.outbox._write(work)", ["_write"]),
        ("monkeypatch.setattr(health, '_FRESH', 0)", ["_FRESH"]),
        ("monkeypatch.setattr('app.routes.health_routes._FRESH', 0)", ["app.routes.health_routes._FRESH"]),
        ("getattr(outbox, '_write')", ["_write"]),
        ("class Other(Outbox):\n    def look(self):\n        return self._write", ["_write"]),
        ("class Own:\n    def __init__(self):\n        self._write = 1\n        print(self._write)", []),
        ("os._exit(0)", []),
        ("f(_write)", []),
    ],
)
def test_a_private_member_is_found_however_it_is_reached_for(source: str, found: list[str]) -> None:
    private = {"_Call", "_write", "_FRESH"}
    assert [reach.rpartition(" ")[2] for reach in reaches_of(source, private)] == found


def slow() -> list[str]:
    """Return the folders and files that `make test FAST=1` leaves out."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    (names,) = re.findall(r"^SLOW = (.+)$", makefile, re.MULTILINE)
    return str(names).split()


def test_what_the_fast_tests_leave_out_exists() -> None:
    assert [name for name in slow() if not (ROOT / name).exists()] == []


def test_the_fast_tests_start_no_browser() -> None:
    """Otherwise they would fail on a machine without one: FAST=1 does not install it."""
    starting = [
        path
        for path in TESTS
        if re.search("^from (playwright|tests.browser)|^import playwright", path.read_text(), re.MULTILINE)
    ]
    names = [str(path.relative_to(ROOT)) for path in starting]
    assert names
    assert [name for name in names if not name.startswith(tuple(slow()))] == []
