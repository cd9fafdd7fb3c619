"""Refuse code that writes a callback's status, or its history, anywhere but in `app/outbox/transitions.py`.

Otherwise a change of status would be missing in `status_history`, which is the log of events. Run it with the folders
to check: `python -m tools.check_status_writes app`.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ALLOWED = Path("app/outbox/transitions.py")
FREE = (Path("app/outbox/migrations"), Path("app/simulator"))
"""Migrations change what earlier versions stored; the simulator has calls of its own."""
GUARDED = ("callbacks", "status_history")
COLUMNS = ("status", "status_sequence")
_TABLE = r'"?(callbacks|status_history)\b'
_SQL = re.compile(
    rf"\binsert(\s+or\s+\w+)?\s+into\s+{_TABLE}"
    r"|\bupdate\s+\"?callbacks\b[^;]*\bset\b(?:(?!\bwhere\b)[^;])*\bstatus(_sequence)?\s*=|\bupdate\s+\"?status_history\b"
    r"|\bdelete\s+from\s+\"?status_history\b",
    re.IGNORECASE,
)


def problems(source: str) -> Iterator[tuple[int, str]]:
    """Return the line and the description of each write of a status in a module.

    A module is examined if it imports one of the tables, for the names of columns also if it has an UPDATE. A column
    named through a variable isn't found.
    """
    tree = ast.parse(source)
    tables = {name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for name in _tables(node)}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    updates = bool(tables) and any(_name(call.func) == "update" for call in calls)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _SQL.search(node.value):
            yield node.lineno, "writes callbacks or their history in SQL text"
        elif tables and isinstance(node, ast.Call) and _inserts(node):
            yield node.lineno, "inserts a callback, or changes the history"
        elif updates and _names_status(node):
            yield node.lineno, "writes a status"


def _tables(node: ast.ImportFrom) -> list[str]:
    """Return the guarded tables that an import makes available, also under another name."""
    if node.module == "app.outbox":
        return [alias.name for alias in node.names if alias.name == "schema"]
    return [alias.name for alias in node.names if node.module == "app.outbox.schema" and alias.name in GUARDED]


def _inserts(node: ast.Call) -> bool:
    """Return whether a call inserts into a guarded table, or updates or deletes its history.

    `insert` is refused with anything but the name of another table: a variable may hold a guarded one.
    """
    statement = _name(node.func)
    owner = [node.func.value] if isinstance(node.func, ast.Attribute) else []
    named = [_name(part) for part in (*owner, *node.args)]
    if statement in ("update", "delete"):
        return "status_history" in named
    others = ("attempts", "request_keys", "used_challenges", "blocklist", "widget_files", "writers")
    return statement == "insert" and not any(name in others for name in named)


def _names_status(node: ast.AST) -> bool:
    """Return whether a node names a column of the status as a keyword, a dictionary's key, or an item to set."""
    if isinstance(node, ast.Call):
        return _name(node.func) in ("values", "dict", "update") and any(k.arg in COLUMNS for k in node.keywords)
    if isinstance(node, ast.Dict):
        return any(_is_column(key) for key in node.keys)
    if isinstance(node, ast.Tuple):  # of ordered_values()
        return len(node.elts) == 2 and isinstance(node.elts[0], ast.Attribute) and _is_column(node.elts[0])
    return isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store) and _is_column(node.slice)


def _name(node: ast.AST | None) -> str | None:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def _is_column(node: ast.AST | None) -> bool:
    return (node.value if isinstance(node, ast.Constant) else _name(node)) in COLUMNS


def main(folders: list[str]) -> int:
    """Print each problem with its place and the fix; return 1 if there is one."""
    found = 0
    for path in sorted(file for folder in folders for file in Path(folder).rglob("*.py")):
        if path == ALLOWED or any(path.is_relative_to(folder) for folder in FREE):
            continue
        for line, problem in problems(path.read_text(encoding="utf-8")):
            print(f"{path}:{line}: {problem}: use a function of {ALLOWED}, which also writes the history")  # noqa: T201
            found = 1
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
