"""Store the response of each request key, so that a repeated request gets the same one."""

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

INSTANT = sa.BigInteger().with_variant(sa.DateTime(timezone=True), "postgresql")
KEYS = sa.table(
    "request_keys",
    sa.column("scope", sa.String),
    sa.column("key", sa.String),
    sa.column("callback_id", sa.String),
    sa.column("created_at", INSTANT),
    sa.column("answer", sa.JSON),
)
CALLBACKS = sa.table(
    "callbacks",
    sa.column("id", sa.String),
    sa.column("created_at", INSTANT),
    sa.column("call_expected_at", INSTANT),
)


def upgrade() -> None:
    """Add the column, and fill it for existing keys with the response they would have had."""
    op.add_column("request_keys", sa.Column("answer", sa.JSON(), nullable=False, server_default="{}"))
    connection = op.get_bind()
    there = sa.select(KEYS.c.scope, KEYS.c.key, KEYS.c.created_at.label("asked_at"), *CALLBACKS.c)
    for row in connection.execute(there.join_from(KEYS, CALLBACKS, CALLBACKS.c.id == KEYS.c.callback_id)).all():
        answer = {
            "id": row.id,
            "status": "queued",
            "created_at": _text(row.created_at),
            "call_expected_at": _text(row.call_expected_at),
            "duplicate": row.asked_at != row.created_at,
        }
        same = (KEYS.c.scope == row.scope) & (KEYS.c.key == row.key)
        connection.execute(sa.update(KEYS).where(same).values(answer=answer))


def _text(instant: Any) -> str | None:
    if instant is None:
        return None
    if isinstance(instant, int):  # SQLite keeps microseconds since 1970
        instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant)
    return str(instant.astimezone(UTC).isoformat())
