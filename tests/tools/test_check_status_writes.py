"""A status that is written outside `transitions` fails `make lint`, however it is written."""

import subprocess
import sys
from pathlib import Path

import pytest

from tools.check_status_writes import problems

ROOT = Path(__file__).parent.parent.parent

WRITES = [
    "connection.execute(update(callbacks).where(due).values(status=Status.FAILED))",
    "connection.execute(callbacks.update().values(status='failed'))",
    "connection.execute(update(callbacks).values({'status': Status.FAILED, 'due_at': None}))",
    "values = {'reason': 'late'}\nvalues['status'] = 'failed'\nconnection.execute(update(callbacks).values(values))",
    "values = {'status': 'failed'}\nconnection.execute(update(callbacks).values(**values))",
    "connection.execute(update(schema.callbacks).where(due).values(status=to))",
    "connection.execute(insert(callbacks), rows)",
    "connection.execute(callbacks.insert().values(id=1))",
    "connection.execute(upsert.insert(connection, callbacks))",
    "connection.execute(insert(status_history), rows)",
    "connection.execute(update(status_history).values(reason='late'))",
    "connection.execute(text('UPDATE callbacks SET status = 1'))",
    "connection.execute(text('insert  into callbacks (id) values (1)'))",
]


@pytest.mark.parametrize("source", WRITES)
def test_a_write_is_found(source: str) -> None:
    assert list(problems(source))


@pytest.mark.parametrize(
    "source",
    [
        "connection.execute(update(callbacks).where(due).values(give_up_at=now))",
        "connection.execute(insert(attempts), rows)",
        "body = {'status': callback.status}",
        "connection.execute(select(callbacks).where(callbacks.c.status == 'queued'))",
        "transition(connection, due, Status.FAILED, reason='expired', now=now)",
        "log.info('update callbacks by hand')",
    ],
)
def test_anything_else_is_not(source: str) -> None:
    assert not list(problems(source))


def run(folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tools.check_status_writes", str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_service_passes() -> None:
    assert run(Path("app")).returncode == 0


def test_a_problem_is_printed_with_its_place_and_the_fix(tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text(f"now = 1\n{WRITES[0]}\n", encoding="utf-8")
    done = run(tmp_path)
    assert done.returncode == 1
    assert f"{tmp_path}/late.py:2: writes a status: use a function of app/outbox/transitions.py" in done.stdout
