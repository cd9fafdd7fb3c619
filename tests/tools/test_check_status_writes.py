"""A status that is written outside `transitions` fails `make lint`, in the forms that the code of this project uses."""

import subprocess
import sys
from pathlib import Path

import pytest

from tools.check_status_writes import problems

ROOT = Path(__file__).parent.parent.parent

IMPORTS = "from app.outbox.schema import attempts, callbacks, status_history\n"
WRITES = [
    "connection.execute(update(callbacks).where(due).values(status=Status.FAILED))",
    "connection.execute(callbacks.update().values(status='failed'))",
    "connection.execute(update(callbacks).values({'status': Status.FAILED, 'due_at': None}))",
    "connection.execute(update(callbacks).values({callbacks.c.status: Status.FAILED}))",
    "connection.execute(update(callbacks).ordered_values((callbacks.c.status, Status.FAILED)))",
    "connection.execute(update(callbacks).values(dict(status=Status.FAILED)))",
    "connection.execute(update(callbacks).values(status_sequence=0))",
    "values.update(status='failed')\nconnection.execute(update(callbacks).values(values))",
    "values['status'] = 'failed'\nconnection.execute(update(callbacks).values(values))",
    "values = {'status': 'failed'}\nconnection.execute(update(callbacks).values(**values))",
    "for table in (callbacks,):\n    connection.execute(update(table).values({'status': 'failed'}))",
    "connection.execute(insert(callbacks), rows)",
    "table = callbacks\nconnection.execute(insert(table), rows)",
    "connection.execute(callbacks.insert().values(id=1))",
    "connection.execute(upsert.insert(connection, callbacks))",
    "connection.execute(insert(status_history), rows)",
    "connection.execute(update(status_history).values(reason='late'))",
    "connection.execute(delete(status_history))",
]
TEXTS = [
    "UPDATE callbacks SET status = 1",
    "UPDATE callbacks AS c SET status = 1",
    'UPDATE "callbacks" SET status = 1',
    "UPDATE status_history SET reason = 1",
    "insert  into callbacks (id) values (1)",
    "INSERT OR IGNORE INTO callbacks (id) VALUES (1)",
    "DELETE FROM status_history",
]


@pytest.mark.parametrize("source", WRITES)
def test_a_write_is_found(source: str) -> None:
    assert list(problems(IMPORTS + source))


def test_a_write_is_found_where_the_whole_schema_is_imported() -> None:
    source = "from app.outbox import schema\nconnection.execute(update(schema.callbacks).values(status=to))"
    assert list(problems(source))


@pytest.mark.parametrize("text", TEXTS)
def test_a_write_in_sql_text_is_found(text: str) -> None:
    assert list(problems(f"connection.execute(text({text!r}))"))


@pytest.mark.parametrize(
    "source",
    [
        IMPORTS + "connection.execute(update(callbacks).where(due).values(give_up_at=now))",
        IMPORTS + "connection.execute(insert(attempts), rows)",
        IMPORTS + "connection.execute(select(callbacks).where(callbacks.c.status == 'queued'))",
        IMPORTS + "transition(connection, due, Status.FAILED, reason='expired', now=now)",
        IMPORTS + "log.info('update callbacks by hand')",
        "from app.outbox.schema import deliveries\nconnection.execute(update(deliveries).values(status='sent'))",
        "body = {'status': callback.status}",
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
    (tmp_path / "late.py").write_text(f"{IMPORTS}{WRITES[0]}\n", encoding="utf-8")
    done = run(tmp_path)
    assert done.returncode == 1
    assert f"{tmp_path}/late.py:2: writes a status: use a function of app/outbox/transitions.py" in done.stdout
