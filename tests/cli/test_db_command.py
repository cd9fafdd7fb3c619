"""`chaser-callback db`: tables and room by hand."""

import os
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, text

from app.outbox.database import open_database
from app.outbox.inspect_database import inspect
from app.outbox.migrate import SchemaState
from app.outbox.outbox import Outbox
from app.outbox.schema import widget_files
from tests.cli.conftest import Terminal
from tests.cli.test_check_command import make_old
from tests.outbox.factories import NOW
from tests.running import values


def test_old_tables_are_brought_up_to_date(tmp_path: Path, database_url: str) -> None:
    make_old(database_url)
    terminal = Terminal(values(tmp_path, database_url=database_url))
    ended = terminal.run("db", "upgrade")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "The tables were brought up to date.\n", "")
    assert inspect(database_url).schema is SchemaState.CURRENT


def test_what_was_erased_is_given_back(tmp_path: Path, database_url: str) -> None:
    Outbox.open(database_url).close()
    with closing(open_database(database_url)) as database, database.writing.begin() as connection:
        releases = [
            {"version": str(number), "name": "widget.js", "body": os.urandom(10_000), "kept_at": NOW}
            for number in range(200)
        ]
        if not database_url.startswith("sqlite"):  # else the server may tidy up by itself before it is asked
            off = "autovacuum_enabled = false, toast.autovacuum_enabled = false"
            connection.execute(text(f"ALTER TABLE widget_files SET ({off})"))
        connection.execute(insert(widget_files), releases)
        connection.execute(delete(widget_files))
    ended = Terminal(values(tmp_path, database_url=database_url)).run("db", "vacuum")
    assert (ended.returncode, ended.stderr) == (0, "")
    before, after = (float(words.split()[0]) for words in ended.stdout.split(", "))
    assert before > 2
    assert after < 1


def test_what_belongs_to_a_running_service_is_left_alone(tmp_path: Path) -> None:
    chosen = values(tmp_path)
    with closing(Outbox.open(chosen["database_url"])):
        for command in ("upgrade", "vacuum"):
            ended = Terminal(chosen).run("db", command)
            assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (3, "", 1)
            assert ended.stderr.startswith("DATABASE_URL: another process already works on ")


@pytest.mark.parametrize("command", [["vacuum"], ["copy", "--to", "sqlite:////proc/new.db"]], ids=["vacuum", "copy"])
def test_nothing_is_made_where_no_database_is(tmp_path: Path, command: list[str]) -> None:
    ended = Terminal(values(tmp_path)).run("db", *command)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_is_none_is_told_by_its_own_name(tmp_path: Path, database_url: str) -> None:
    Outbox.open(database_url).close()
    terminal = Terminal(values(tmp_path, database_url=database_url))
    for to, code in (("mysql://here/callback", 2), ("sqlite:////proc/new.db", 3)):
        ended = terminal.run("db", "copy", "--to", to)
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (code, "", 1)
        assert ended.stderr.startswith("--to: ")
