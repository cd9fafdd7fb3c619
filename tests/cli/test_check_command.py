"""`chaser-callback check`: each fault is a line with its fix, and checking changes nothing."""

import ctypes
import hashlib
import json
import os
import re
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.config import Config

import app.outbox.migrations
from app.outbox.database import has_wal_reset_bug, open_database
from app.outbox.handover import mark_moved
from app.outbox.outbox import Outbox
from tests.cli.conftest import Terminal
from tests.databases import PostgreSQL
from tests.running import NOBODY, Chaser, Service, process, values

CAP_DAC_OVERRIDE, PR_CAPBSET_DROP = 1, 24


def parse_results(output: str) -> dict[str, tuple[str, str]]:
    """Return verdict and message by subject."""
    rows = [line.split("\t") for line in output.splitlines()]
    return {subject: (verdict, message) for verdict, subject, message in rows}


def contents(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def make_moved(url: str) -> None:
    """Mark a database as copied to another one and handed over."""
    Outbox.open(url).close()
    database = open_database(url)
    with database.writing.begin() as connection:
        mark_moved(connection, "postgresql://db.example/callback")
    database.close()


def make_old(url: str) -> None:
    """Create the tables of an earlier version."""
    database = open_database(url)
    config = Config()
    config.set_main_option("script_location", str(Path(next(iter(app.outbox.migrations.__path__)))))
    with database.writing.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
    database.close()


def respect_file_modes() -> None:
    """Drop the capability that lets root ignore file permissions. Runs in the child process before exec."""
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE)


def test_correct_settings_are_all_ok_even_while_the_service_uses_the_file(tmp_path: Path, far_side: Chaser) -> None:
    with process(tmp_path, values(tmp_path, far_side.api_url, trusted_proxies="127.0.0.1")):
        ended = Terminal(values(tmp_path, far_side.api_url, trusted_proxies="127.0.0.1")).run("check")
    assert (ended.returncode, ended.stderr) == (0, "")
    results = parse_results(ended.stdout)
    assert {verdict for verdict, _ in results.values()} == {"ok"}
    old_sqlite = ["sqlite"] if has_wal_reset_bug() else []
    assert list(results) == [
        *("settings", "database", *old_sqlite, "tables", "account", "site", "clock", "proxies", "service", "running")
    ]
    assert results["account"][1] == "Chaser accepts the signature of 4711; sites there: 1"
    assert results["tables"][1] == "up to date"
    assert "delivery ok" in results["service"][1]


@pytest.mark.parametrize("body", ['{"status": "up"}', "[]", '"ok"', "{}", "<html>", '{"status": {"ok": 1}}', ""])
def test_another_program_at_the_address_is_noted(tmp_path: Path, far_side: Chaser, body: str) -> None:
    far_side.fault("status", status=200, body=body, path="/v1/readyz", times=1)
    chosen = values(tmp_path, far_side.api_url)
    verdict, message = parse_results(Terminal(chosen).run("check", "--url", far_side.api_url).stdout)["service"]
    assert (verdict, message.endswith("see --url")) == ("note", True)


def test_a_service_at_a_url_that_refuses_the_key_is_noted(tmp_path: Path, here: Service) -> None:
    chosen = Terminal(values(tmp_path))
    stranger = parse_results(chosen.run("check", "--url", here.url).stdout)["service"]
    assert stranger == ("ok", f"runs at {here.url}: status ok")
    wrong = chosen.run("check", "--url", here.url, CHASER_CALLBACK_API_KEY="ccb_guess")
    assert parse_results(wrong.stdout)["service"][0] == "note"


def test_it_says_whether_the_running_service_has_other_settings(tmp_path: Path, far_side: Chaser) -> None:
    chosen = values(tmp_path, far_side.api_url)
    file = tmp_path / "callback.toml"
    with process(tmp_path, chosen):
        assert parse_results(Terminal(chosen).run("check").stdout)["running"][0] == "ok"
        changed = Terminal(values(tmp_path, far_side.api_url, chaser={"private_key": "another"}))
        ended = changed.run("check")
        verdict, message = parse_results(ended.stdout)["running"]
        assert (verdict, message.partition(" (")[0]) == ("note", "the service read other settings")
        running, own = re.findall(r"\(([0-9a-f]{8})\)", message)
        assert running != own
        assert message.endswith("restart it with these, or run this command in its folder with its environment")
        file.write_text('duplicate_window = "10s"')
        os.utime(file, (time.time() + 60,) * 2)
        ended = Terminal(chosen).run("check", CONFIG_FILE=str(file))
        assert parse_results(ended.stdout)["running"][1].endswith(f"{file} was changed since then: restart the service")


def test_in_another_folder_no_running_service_is_found(tmp_path: Path, here: Service, far_side: Chaser) -> None:
    assert here.http.get("/livez").status_code == 200
    results = parse_results(Terminal(values(tmp_path / "elsewhere", far_side.api_url)).run("check").stdout)
    assert results["service"][0] == "note"
    assert results["service"][1].startswith(f"no running service was found at {tmp_path}/elsewhere/control.sock: ")
    assert "running" not in results


def test_files_that_other_users_can_read_are_noted_with_the_fix(tmp_path: Path, far_side: Chaser) -> None:
    chosen = values(tmp_path, far_side.api_url)
    Outbox.open(chosen["database_url"]).close()
    assert "files" not in parse_results(Terminal(chosen).run("check").stdout)
    (tmp_path / "callbacks.db").chmod(0o644)
    assert parse_results(Terminal(chosen).run("check").stdout)["files"] == (
        "note",
        f"other users of this machine can read phone numbers: chmod 600 {tmp_path}/callbacks.db",
    )


def test_a_wrong_private_key_is_a_fault_and_no_database_is_created(tmp_path: Path, far_side: Chaser) -> None:
    wrong = values(tmp_path / "data", far_side.api_url, chaser={"private_key": "not the key of this account"})
    ended = Terminal(wrong).run("check")
    results = parse_results(ended.stdout)
    assert ended.returncode == 1
    assert results["account"] == (
        "fault",
        "CHASER__CLIENT_ID, CHASER__PRIVATE_KEY: Chaser refuses the account 4711 (401): "
        "correct client_id or private_key",
    )
    assert results["database"][0] == results["clock"][0] == "ok"
    assert "is not there yet" in results["database"][1]
    assert results["service"][0] == results["site"][0] == "note"
    assert list(tmp_path.iterdir()) == []
    assert "not the key" not in ended.stdout + ended.stderr


def test_an_unreachable_chaser_is_a_fault(tmp_path: Path) -> None:
    ended = Terminal(values(tmp_path, NOBODY)).run("check")
    assert ended.returncode == 1
    verdict, message = parse_results(ended.stdout)["account"]
    assert verdict == "fault"
    assert message.startswith(f"CHASER__API_URL: {NOBODY} can't be reached (")
    assert message.endswith("check the address, the network and the firewall")


def test_a_site_number_unknown_to_chaser_is_a_fault_that_lists_the_known_ones(tmp_path: Path, far_side: Chaser) -> None:
    ended = Terminal(values(tmp_path, far_side.api_url, sites={"shop": {"site_id": 777}})).run("check")
    assert ended.returncode == 1
    assert parse_results(ended.stdout)["site"] == (
        "fault",
        "SITES__SHOP__SITE_ID: the account 4711 has no site 777 at Chaser (it has: 12345)",
    )


@pytest.mark.parametrize(
    ("site", "named", "effect"),
    [
        ({}, "sales, service", "The site's manager hears the department's name"),
        ({"message_on_ring": "From the site"}, "sales, service", "Nobody learns which of them a visitor chose"),
        ({"departments": {"sales": {"manager_phone": "+7 495 000-00-02"}}}, "service", "The site's manager hears"),
        ({"departments": {"service": {"message_on_ring": "For service"}}}, "sales", "The site's manager hears"),
        ({"manager_phone": "+7 495 000-00-01"}, "sales, service", "The site's manager hears"),
    ],
)
def test_departments_without_manager_and_message_are_named(
    tmp_path: Path, far_side: Chaser, site: dict[str, Any], named: str, effect: str
) -> None:
    names = {"sales": {"name": "Sales"}, "service": {"name": "Service"}}
    departments = {name: one | site.get("departments", {}).get(name, {}) for name, one in names.items()}
    shop = site | {"departments": departments}
    ended = Terminal(values(tmp_path, far_side.api_url, sites={"shop": shop})).run("check")
    verdict, message = parse_results(ended.stdout)["department"]
    assert (ended.returncode, verdict) == (0, "note")
    assert f"SITES__SHOP__DEPARTMENTS: no MANAGER_PHONE and no MESSAGE_ON_RING of their own: {named}. " in message
    assert effect in message


def test_departments_with_a_manager_or_a_message_are_no_note(tmp_path: Path, far_side: Chaser) -> None:
    departments = {
        "sales": {"name": "Sales", "manager_phone": "+7 495 000-00-02"},
        "service": {"name": "Service", "message_on_ring": "For service"},
    }
    ended = Terminal(values(tmp_path, far_side.api_url, sites={"shop": {"departments": departments}})).run("check")
    assert "department" not in parse_results(ended.stdout)


def test_tables_of_an_older_version_are_a_fault_and_stay_unchanged(
    tmp_path: Path, database_url: str, far_side: Chaser
) -> None:
    make_old(database_url)
    before = contents(tmp_path)
    ended = Terminal(values(tmp_path, far_side.api_url, database_url=database_url)).run("check")
    results = parse_results(ended.stdout)
    assert (ended.returncode, results["database"][0]) == (1, "ok")
    assert results["tables"] == (
        "fault",
        "of an older version: restart the service, or run `chaser-callback db upgrade`",
    )
    assert contents(tmp_path) == before


def test_a_connected_process_of_an_older_version_is_a_fault(
    tmp_path: Path, postgresql: PostgreSQL, far_side: Chaser
) -> None:
    url = postgresql.new_database()
    make_old(url)
    with psycopg.connect(url.replace("+psycopg", "")):
        ended = Terminal(values(tmp_path, far_side.api_url, database_url=url)).run("check")
    verdict, message = parse_results(ended.stdout)["tables"]
    assert (ended.returncode, verdict) == (1, "fault")
    assert message.startswith("DATABASE_URL: 1 connection of an older version is open")


def test_a_database_that_was_moved_is_a_fault(tmp_path: Path, database_url: str, far_side: Chaser) -> None:
    make_moved(database_url)
    ended = Terminal(values(tmp_path, far_side.api_url, database_url=database_url)).run("check")
    verdict, message = parse_results(ended.stdout)["tables"]
    assert (ended.returncode, verdict) == (1, "fault")
    assert message.startswith(
        "DATABASE_URL: this database was moved to postgresql://db.example/callback: set DATABASE_U"
    )


@pytest.mark.parametrize("read_only", ["file", "folder"])
def test_a_database_without_write_permission_is_a_fault(tmp_path: Path, read_only: str, far_side: Chaser) -> None:
    folder = tmp_path / "data"
    settings = values(folder, far_side.api_url)
    Outbox.open(settings["database_url"]).close()
    wrong = folder / "callbacks.db" if read_only == "file" else folder
    wrong.chmod(0o444 if read_only == "file" else 0o555)
    ended = Terminal(settings).run("check", before=respect_file_modes)
    wrong.chmod(0o755)
    assert ended.returncode == 1
    assert parse_results(ended.stdout)["database"] == (
        "fault",
        f"DATABASE_URL: can't write {wrong}: Permission denied: give this user the right to write there, "
        "or another path",
    )


def test_a_wrong_clock_is_a_fault(tmp_path: Path, far_side: Chaser) -> None:
    an_hour_ago = format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)
    body = json.dumps([{"id": 12345, "name": "shop.example", "title": ""}])
    far_side.fault("status", status=200, headers={"Date": an_hour_ago}, body=body, path="/v1/websites")
    ended = Terminal(values(tmp_path, far_side.api_url)).run("check")
    verdict, message = parse_results(ended.stdout)["clock"]
    assert (ended.returncode, verdict) == (1, "fault")
    assert "ahead of Chaser's" in message
    assert "(NTP)" in message


def test_each_invalid_setting_is_a_fault_of_its_own(tmp_path: Path) -> None:
    invalid = values(tmp_path, chaser={"private_key": None}, give_up_after="soon")
    ended = Terminal(invalid).run("check")
    assert ended.returncode == 1
    rows = [line.split("\t") for line in ended.stdout.splitlines()]
    assert [message.partition(":")[0] for verdict, _, message in rows if verdict == "fault"] == [
        "CHASER__PRIVATE_KEY",
        "GIVE_UP_AFTER",
    ]


def test_a_network_in_trusted_proxies_gets_a_note(tmp_path: Path, far_side: Chaser) -> None:
    ended = Terminal(values(tmp_path, far_side.api_url, trusted_proxies="10.0.0.0/8")).run("check")
    assert ended.returncode == 0
    verdict, message = parse_results(ended.stdout)["proxies"]
    assert verdict == "note"
    assert message.startswith("TRUSTED_PROXIES: any client in 10.0.0.0/8 can forge its address")


def test_at_a_terminal_long_messages_wrap_inside_their_column(tmp_path: Path) -> None:
    code, output = Terminal(values(tmp_path, NOBODY)).run_at_terminal("check")
    assert code == 1
    assert "\x1b" not in output
    assert max(map(len, output.splitlines())) <= 80
    assert "fault account" in output
