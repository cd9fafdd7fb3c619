"""Upgrading a database that holds a full queue loses nothing."""

import json
from datetime import timedelta
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, insert

import app.outbox.migrations
from app.outbox.callback import RequestKey
from app.outbox.database import open_database
from app.outbox.outbox import Outbox
from app.outbox.schema import callbacks, request_keys
from tests.outbox.making import NOW, callback, rules


def upgrade(engine: Engine, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(next(iter(app.outbox.migrations.__path__)))))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


async def test_a_queue_of_the_first_version_is_delivered_by_this_one(database_url: str) -> None:
    database = open_database(database_url)
    upgrade(database.writing, "0001")
    wishes = [callback(client_phone=f"7916{number:07}") for number in range(500)]
    with database.writing.begin() as connection:
        for number, wish in enumerate(wishes):
            values = {name: getattr(wish, name) for name in wish.__slots__}
            connection.execute(insert(callbacks).values(**values, status="queued", updated_at=NOW))
            key = {"scope": "site:shop", "key": f"wish-{number}", "fingerprint": "a" * 64, "callback_id": wish.id}
            connection.execute(insert(request_keys).values(**key, created_at=NOW))
    database.close()

    outbox = Outbox.open(database_url)
    assert await outbox.waiting() == 500
    again = await outbox.accept(
        callback(created_at=NOW + timedelta(days=1)), RequestKey("site:shop", "wish-7", "a" * 64), rules()
    )
    assert (again.id, again.created_at, again.duplicate, again.replayed) == (wishes[7].id, NOW, False, True)
    claims = await outbox.claim_due(NOW, furthest=timedelta(1), lease=timedelta(seconds=40), limit=1000)
    assert {claim.callback_id for claim in claims} == {wish.id for wish in wishes}
    assert json.dumps(claims[0].parameters, default=str).count("7916") == 1
    outbox.close()
