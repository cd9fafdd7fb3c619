"""`chaser-callback db`: migrate, vacuum and copy by hand."""

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


def test_tables_of_an_older_version_are_migrated(tmp_path: Path, database_url: str) -> None:
    make_old(database_url)
    terminal = Terminal(values(tmp_path, database_url=database_url))
    ended = terminal.run("db", "upgrade")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "The tables were brought up to date.\n", "")
    assert inspect(database_url).schema is SchemaState.CURRENT


def test_vacuum_returns_the_space_of_erased_rows(tmp_path: Path, database_url: str) -> None:
    Outbox.open(database_url).close()
    with closing(open_database(database_url)) as database, database.writing.begin() as connection:
        releases = [
            {"version": str(number), "name": "widget.js", "body": os.urandom(10_000), "kept_at": NOW}
            for number in range(200)
        ]
        if not database_url.startswith("sqlite"):  # else autovacuum may run before the command
            options = "autovacuum_enabled = false, toast.autovacuum_enabled = false"
            connection.execute(text(f"ALTER TABLE widget_files SET ({options})"))
        connection.execute(insert(widget_files), releases)
        connection.execute(delete(widget_files))
    ended = Terminal(values(tmp_path, database_url=database_url)).run("db", "vacuum")
    assert (ended.returncode, ended.stderr) == (0, "")
    before, after = (float(words.split()[0]) for words in ended.stdout.split(", "))
    assert before > 2
    assert after < 1


def test_the_sqlite_file_of_a_running_service_is_refused(tmp_path: Path) -> None:
    settings = values(tmp_path)
    with closing(Outbox.open(settings["database_url"])):
        for command in ("upgrade", "vacuum"):
            ended = Terminal(settings).run("db", command)
            assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (3, "", 1)
            assert ended.stderr.startswith("DATABASE_URL: another process already works on ")


@pytest.mark.parametrize("command", [["vacuum"], ["copy", "--to", "sqlite:////proc/new.db"]], ids=["vacuum", "copy"])
def test_without_a_database_no_file_is_created(tmp_path: Path, command: list[str]) -> None:
    ended = Terminal(values(tmp_path)).run("db", *command)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert list(tmp_path.iterdir()) == []


def test_an_unusable_target_is_reported_under_its_own_option(tmp_path: Path, database_url: str) -> None:
    Outbox.open(database_url).close()
    terminal = Terminal(values(tmp_path, database_url=database_url))
    for to, code in (("mysql://here/callback", 2), ("sqlite:////proc/new.db", 3)):
        ended = terminal.run("db", "copy", "--to", to)
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (code, "", 1)
        assert ended.stderr.startswith("--to: ")
