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
"""Migrations change the rows of earlier versions; the simulator has calls of its own."""
TABLES = ("callbacks", "status_history")
_SQL = re.compile(r"\binsert\s+into\s+(callbacks|status_history)\b|\bupdate\s+callbacks\s+set\b", re.IGNORECASE)


def problems(source: str) -> Iterator[tuple[int, str]]:
    """Return the line and the description of each write of a status in a module."""
    tree = ast.parse(source)
    updates = any(_writes(node, "update", ("callbacks",)) for node in ast.walk(tree))
    for node in ast.walk(tree):
        if _writes(node, "insert", TABLES) or _writes(node, "update", ("status_history",)):
            yield node.lineno, "inserts a callback or a row of its history"
        elif _sets_status(node) or (updates and _prepares_status(node)):
            yield node.lineno, "writes a status"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _SQL.search(node.value):
            yield node.lineno, "writes callbacks or their history in SQL text"


def _sets_status(node: ast.AST) -> bool:
    """Return whether a node is `.values(status=…)`."""
    return isinstance(node, ast.Call) and _name(node.func) == "values" and any(k.arg == "status" for k in node.keywords)


def _prepares_status(node: ast.AST) -> bool:
    """Return whether a node is `{"status": …}` or `values["status"] = …`, for an UPDATE in the same module."""
    if isinstance(node, ast.Dict):
        return any(_is_status(key) for key in node.keys)
    return isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store) and _is_status(node.slice)


def _writes(node: ast.AST, statement: str, tables: tuple[str, ...]) -> bool:
    """Return whether a node is `insert(table)`, `upsert.insert(connection, table)` or `table.insert()`."""
    if not isinstance(node, ast.Call) or _name(node.func) != statement:
        return False
    owner = node.func.value if isinstance(node.func, ast.Attribute) else None
    return any(_name(part) in tables for part in (owner, *node.args))


def _name(node: ast.AST | None) -> str | None:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def _is_status(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant) and node.value == "status"


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
