"""Leak test: a recognisable number and three keys are sent through every success and every failure of a service.

None may appear where it does not belong: in the debug output, in a response, in a repr, in the files of the database.
The number belongs into the database, in its column and in Chaser's answer. The log shows it as ***47.
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path

import psycopg
import pytest

from app.chaser import Call, ChaserClient
from app.edge.proof_of_work import Challenges
from app.intake.build_callback import Sender, build_callback
from app.intake.callback_request import CallbackRequest
from app.intake.phone import read_phone
from app.main import create_app, utc_now
from app.outbox.blocklist_store import Entry
from app.outbox.callback import Status
from app.outbox.claims import AttemptOutcome, Claim
from app.outbox.schema import metadata
from app.outbox.secret_store import Secrets
from app.routes.dependencies import Services
from app.settings import Settings
from app.simulator.options import DEMO_CLIENT_ID, DEMO_SITE_ID, Options, Site
from tests.abuse.everything import (
    API_KEY,
    KEYED,
    KEYS,
    NUMBERS,
    PHONE,
    PRIVATE_KEY,
    SECRET_KEY,
    Everything,
    secret_values,
    secrets_in,
)
from tests.abuse.loud import failed_start, loud_process
from tests.databases import PostgreSQL
from tests.running import NOBODY, ORIGIN, chaser, until


@dataclass
class Evidence:
    """The output, responses and database to search after all scenarios."""

    output: str
    answers: list[str]
    files: dict[str, bytes]
    rows: dict[str, set[str]]
    """All values as text, by `table.column`."""


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    folder = tmp_path_factory.mktemp("leaks")
    account = Options.of({DEMO_CLIENT_ID: PRIVATE_KEY}, {DEMO_CLIENT_ID: (Site(DEMO_SITE_ID, "shop.example"),)})
    with chaser(account) as far_side, loud_process(folder, secret_values(folder, far_side.api_url)) as here:
        everything = Everything(here, far_side, folder)
        everything.succeed()
        everything.send_refused_requests()
        everything.fail_at_chaser()
        everything.fail_in_the_database()
        everything.raise_unexpected_errors()
        everything.block_the_number()
        files = {path.name: path.read_bytes() for path in sorted(folder.glob("callbacks.db*"))}
        everything.stop()
        return Evidence(here.output(), everything.answers, files, _rows(folder / "callbacks.db"))


def _rows(path: Path) -> dict[str, set[str]]:
    columns: dict[str, set[str]] = {}
    with closing(sqlite3.connect(path)) as database:
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            rows = database.execute(f"SELECT * FROM {table}")
            names = [f"{table}.{column[0]}" for column in rows.description]
            for row in rows:
                for name, value in zip(names, row, strict=True):
                    columns.setdefault(name, set()).add(str(value))
    return columns


def test_every_failure_has_occurred(evidence: Evidence) -> None:
    for event in ("http.unexpected_error", "delivery.unexpected_error", "outbox.write_failed", "callback.accepted"):
        assert f'"event": "{event}"' in evidence.output
    for outcome in ("placed", "unknown", "forbidden", "unauthorized", "refused", "not_sent"):
        assert f'"outcome": "{outcome}"' in evidence.output, outcome
    assert "***47" in evidence.output
    statuses = {int(answer[:3]) for answer in evidence.answers}
    assert statuses >= {200, 202, 400, 401, 403, 404, 405, 413, 422, 500, 503}, statuses


def test_the_debug_output_contains_no_secret_and_no_number(evidence: Evidence) -> None:
    assert not secrets_in(evidence.output), [line for line in evidence.output.splitlines() if secrets_in(line)][:3]


def test_no_response_contains_a_secret_or_a_number(evidence: Evidence) -> None:
    assert len(evidence.answers) > 70
    assert not [answer for answer in evidence.answers if secrets_in(answer)][:3]


def test_no_key_is_in_the_files_of_the_database(evidence: Evidence) -> None:
    assert evidence.files.keys() >= {"callbacks.db", "callbacks.db-wal"}
    for name, content in evidence.files.items():
        assert not secrets_in(content.decode("latin-1"), KEYS), name


def test_the_number_is_stored_where_it_belongs_and_nowhere_else(evidence: Evidence) -> None:
    places = {place for place, texts in evidence.rows.items() if any(secrets_in(text, NUMBERS) for text in texts)}
    assert places == {"callbacks.client_phone", "attempts.answer"}
    assert places <= {str(column) for table in metadata.sorted_tables for column in table.c if column.info["erased"]}


def test_a_row_that_postgresql_refuses_is_not_logged(postgresql: PostgreSQL, tmp_path: Path) -> None:
    """PostgreSQL repeats the whole row in the detail of its error."""
    url = postgresql.new_database()
    with (
        chaser() as far_side,
        loud_process(tmp_path, secret_values(tmp_path, far_side.api_url, database_url=url)) as here,
    ):
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as database:
            database.execute("ALTER TABLE callbacks ADD CHECK (client_phone IS NULL) NOT VALID")
        answer = here.ask(KEYED, client_phone=PHONE)
        assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
        until(lambda: "outbox.write_failed" in here.output())
        here.terminate()
        assert "violates check constraint" in here.output()
        assert not secrets_in(here.output())


VALID = {
    "chaser__client_id": "4711",
    "chaser__private_key": PRIVATE_KEY,
    "secret_key": SECRET_KEY,
    "sites__shop__site_id": "12345",
    "sites__shop__origins": ORIGIN,
}
INVALID = {
    "values": {
        "chaser__private_key": f"{PRIVATE_KEY}\x01{API_KEY}",
        "chaser__api_url": f"https://user:{PRIVATE_KEY}@chaser.example/",
        "chaser__privatekey": PRIVATE_KEY,
        "secret_key": SECRET_KEY[:20],
        "database_url": f"postgresql://user:{PRIVATE_KEY}@db:{SECRET_KEY}/x",
        "api_keys__crm__sha256": API_KEY,
        "api_keys__crm__scopes": API_KEY,
        "sites__shop__origins": f"https://user:{PRIVATE_KEY}@shop.example",
        "sites__shop__site_id": PRIVATE_KEY,
        "sites__shop__phone": PRIVATE_KEY,
    },
    "tables": {"chaser": f"{{{PRIVATE_KEY}", "database_url": f"mysql://user:{PRIVATE_KEY}@db/x"},
    "database away": {"database_url": f"postgresql://user:{PRIVATE_KEY}@127.0.0.1:1/x?password={SECRET_KEY}"},
    "database that can't be": {"database_url": "sqlite:////proc/none/callbacks.db"},
    "no database": {"database_url": "sqlite:///broken.db"},
}


@pytest.mark.parametrize("invalid", INVALID)
def test_a_failed_start_shows_no_secret(invalid: str, tmp_path: Path) -> None:
    (tmp_path / "broken.db").write_text("this is no database " * 300, encoding="utf-8")
    output = failed_start(tmp_path, VALID | INVALID[invalid])
    assert output
    assert "Traceback" not in output
    assert not secrets_in(output, KEYS)


def test_no_repr_shows_a_secret_or_a_number(tmp_path: Path) -> None:
    """Error trackers collect the repr of local variables."""
    chosen = Settings.model_validate(secret_values(tmp_path, NOBODY))
    request = CallbackRequest(site="site-1", client_phone=PHONE, consent=True)
    sender = Sender("203.0.113.7", ["203.0.113.7"], ORIGIN, None, None)
    callback = build_callback(request, sender, chosen, utc_now(), origin_allowed=lambda origin: True)
    parameters = {"client_phone": PHONE}
    claim = Claim("id", "shop", "4711", "token", 1, (), utc_now(), utc_now(), parameters)
    call = Call(site_id=12345, client_phone=PHONE)
    record = AttemptOutcome(Status.FAILED, None, None, "refused", 404, 1, None, f"client_phone={PHONE}")
    client = ChaserClient("4711", PRIVATE_KEY)
    secret = chosen.legacy_secret()
    challenges = Challenges(secret, utc_now, (secret, utc_now()))
    members = {"settings": chosen, "secret": secret, "challenges": challenges}
    services = Services(**(dict.fromkeys(field.name for field in fields(Services)) | members))
    shown: list[object] = [request, sender, callback, claim, call, record, client, services, create_app(chosen)]
    shown += [chosen, *chosen.sites.values(), *chosen.api_keys.values(), chosen.chaser, members["challenges"]]
    shown += [Secrets(secret, secret, (secret, utc_now())), read_phone(PHONE, ["RU"]), Entry(PHONE, PHONE, utc_now())]
    for thing in shown:
        for text in (repr(thing), str(thing), f"{thing}", repr([thing])):
            assert not secrets_in(text), type(thing)
