"""`chaser-callback check`: every fault by its line with the cure, and nothing is changed by looking."""

import ctypes
import hashlib
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config

import app.outbox.migrations
from app.outbox.database import open_database
from app.outbox.moved import Role, mark
from app.outbox.outbox import Outbox
from tests.cli.conftest import Terminal
from tests.running import NOBODY, Chaser, Service, values

CAP_DAC_OVERRIDE, PR_CAPBSET_DROP = 1, 24


def lines(told: str) -> dict[str, tuple[str, str]]:
    """Give verdict and words by subject."""
    split = [line.split("\t") for line in told.splitlines()]
    return {subject: (verdict, words) for verdict, subject, words in split}


def contents(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def make_moved(url: str) -> None:
    """Mark a database as one that was copied elsewhere, and handed over."""
    Outbox.open(url).close()
    database = open_database(url)
    with database.writing.begin() as connection:
        mark(connection, Role.AWAY, "postgresql://db.example/callback")
    database.close()


def make_old(url: str) -> None:
    """Make the tables as an earlier version did."""
    database = open_database(url)
    config = Config()
    config.set_main_option("script_location", str(Path(next(iter(app.outbox.migrations.__path__)))))
    with database.writing.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
    database.close()


def obey_modes() -> None:
    """Let root of this process obey the rights of files as others do. Runs in the process to be."""
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE)


def test_right_settings_are_all_ok_also_while_the_service_works_on_the_file(
    chosen: dict[str, Any], here: Service, far_side: Chaser
) -> None:
    reaching = chosen | {"chaser": chosen["chaser"] | {"api_url": far_side.api_url}, "trusted_proxies": "127.0.0.1"}
    ended = Terminal(reaching, here.url).run("check")
    assert (ended.returncode, ended.stderr) == (0, "")
    told = lines(ended.stdout)
    assert {verdict for verdict, _ in told.values()} == {"ok"}
    assert list(told) == ["settings", "database", "tables", "account", "site", "clock", "proxies", "service"]
    assert told["account"][1] == "Chaser takes the signature of 4711; sites there: 1"
    assert told["tables"][1] == "up to date"
    assert "delivery ok" in told["service"][1]


def test_a_wrong_private_key_is_told_and_no_database_is_made(tmp_path: Path, far_side: Chaser) -> None:
    wrong = values(tmp_path / "data", far_side.api_url, chaser={"private_key": "not the key of this account"})
    ended = Terminal(wrong).run("check")
    told = lines(ended.stdout)
    assert ended.returncode == 1
    assert told["account"] == (
        "fault",
        "CHASER__CLIENT_ID, CHASER__PRIVATE_KEY: Chaser refuses the account 4711 (401): "
        "correct client_id or private_key",
    )
    assert told["database"][0] == told["clock"][0] == "ok"
    assert "is not there yet" in told["database"][1]
    assert told["service"][0] == told["site"][0] == "note"
    assert list(tmp_path.iterdir()) == []
    assert "not the key" not in ended.stdout + ended.stderr


def test_a_chaser_that_can_not_be_reached_is_told(tmp_path: Path) -> None:
    ended = Terminal(values(tmp_path, NOBODY)).run("check")
    assert ended.returncode == 1
    verdict, words = lines(ended.stdout)["account"]
    assert verdict == "fault"
    assert words.startswith(f"CHASER__API_URL: {NOBODY} can't be reached (")
    assert words.endswith("check the address, the network and the firewall")


def test_a_number_that_chaser_does_not_know_is_told_with_those_it_knows(tmp_path: Path, far_side: Chaser) -> None:
    ended = Terminal(values(tmp_path, far_side.api_url, sites={"shop": {"site_id": 777}})).run("check")
    assert ended.returncode == 1
    assert lines(ended.stdout)["site"] == (
        "fault",
        "SITES__SHOP__SITE_ID: the account 4711 has no site 777 at Chaser (it has: 12345)",
    )


def test_tables_of_an_older_version_are_told_and_left_as_they_are(
    tmp_path: Path, database_url: str, far_side: Chaser
) -> None:
    make_old(database_url)
    before = contents(tmp_path)
    ended = Terminal(values(tmp_path, far_side.api_url, database_url=database_url)).run("check")
    told = lines(ended.stdout)
    assert (ended.returncode, told["database"][0]) == (1, "ok")
    assert told["tables"] == (
        "fault",
        "of an older version: restart the service, or run `chaser-callback db upgrade`",
    )
    assert contents(tmp_path) == before


def test_a_database_that_was_moved_is_told_before_a_service_refuses_it(
    tmp_path: Path, database_url: str, far_side: Chaser
) -> None:
    make_moved(database_url)
    ended = Terminal(values(tmp_path, far_side.api_url, database_url=database_url)).run("check")
    verdict, words = lines(ended.stdout)["tables"]
    assert (ended.returncode, verdict) == (1, "fault")
    assert words.startswith("DATABASE_URL: this database was moved to postgresql://db.example/callback: set DATABASE_U")


@pytest.mark.parametrize("kept", ["file", "folder"])
def test_a_database_that_can_not_be_written_is_told(tmp_path: Path, kept: str, far_side: Chaser) -> None:
    folder = tmp_path / "data"
    chosen = values(folder, far_side.api_url)
    Outbox.open(chosen["database_url"]).close()
    wrong = folder / "callbacks.db" if kept == "file" else folder
    wrong.chmod(0o444 if kept == "file" else 0o555)
    ended = Terminal(chosen).run("check", before=obey_modes)
    wrong.chmod(0o755)
    assert ended.returncode == 1
    assert lines(ended.stdout)["database"] == (
        "fault",
        f"DATABASE_URL: can't write {wrong}: Permission denied: give this user the right to write there, "
        "or another path",
    )


def test_a_clock_that_goes_wrong_is_told(tmp_path: Path, far_side: Chaser) -> None:
    theirs = format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)
    body = json.dumps([{"id": 12345, "name": "shop.example", "title": ""}])
    far_side.fault("status", status=200, headers={"Date": theirs}, body=body, path="/v1/websites")
    ended = Terminal(values(tmp_path, far_side.api_url)).run("check")
    verdict, words = lines(ended.stdout)["clock"]
    assert (ended.returncode, verdict) == (1, "fault")
    assert "ahead of Chaser's" in words
    assert "(NTP)" in words


def test_faulty_settings_are_told_one_by_one(tmp_path: Path) -> None:
    faulty = values(tmp_path, chaser={"private_key": None}, give_up_after="soon")
    ended = Terminal(faulty).run("check")
    assert ended.returncode == 1
    found = [line.split("\t") for line in ended.stdout.splitlines()]
    assert [words.partition(":")[0] for verdict, _, words in found if verdict == "fault"] == [
        "CHASER__PRIVATE_KEY",
        "GIVE_UP_AFTER",
    ]


def test_whole_networks_of_proxies_are_noted(tmp_path: Path, far_side: Chaser) -> None:
    ended = Terminal(values(tmp_path, far_side.api_url, trusted_proxies="10.0.0.0/8")).run("check")
    assert ended.returncode == 0
    verdict, words = lines(ended.stdout)["proxies"]
    assert verdict == "note"
    assert words.startswith("TRUSTED_PROXIES: who connects from 10.0.0.0/8 can pass for anybody")


def test_at_a_terminal_the_lines_stay_in_their_columns(tmp_path: Path) -> None:
    code, seen = Terminal(values(tmp_path, NOBODY)).see("check")
    assert code == 1
    assert "\x1b" not in seen
    assert max(map(len, seen.splitlines())) <= 80
    assert "fault account" in seen
