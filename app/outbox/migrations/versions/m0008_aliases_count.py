"""Let aliases count as the callbacks they look like, and keep since when a callback could be sent.

What was released or retried before counts from its acceptance, and aliases that were given before count for nobody:
within the day that a quota looks back, both are over.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

CALLBACKS = sa.table("callbacks", sa.column("client_phone", sa.String), sa.column("message_on_ring", sa.String))
INSTANT = sa.BigInteger().with_variant(sa.DateTime(timezone=True), "postgresql")


def upgrade() -> None:
    """Apply."""
    op.add_column("callbacks", sa.Column("ready_at", INSTANT, nullable=True))
    for name in ("client_bucket", "client_bucket_56", "client_bucket_48"):
        op.add_column("request_keys", sa.Column(name, sa.String(length=64), nullable=True))
        _index(name, [name, "created_at"])
    op.add_column("request_keys", sa.Column("call_expected_at", INSTANT, nullable=True))
    _index("call_expected_at", ["call_expected_at"])
    # What is said when a call rings may name somebody: it goes with the number.
    op.execute(sa.update(CALLBACKS).where(CALLBACKS.c.client_phone.is_(None)).values(message_on_ring=None))


def _index(of: str, columns: list[str]) -> None:
    there = sa.text(f"{of} IS NOT NULL")
    name = "_".join(("ix_request_keys", *columns))
    op.create_index(name, "request_keys", columns, sqlite_where=there, postgresql_where=there)
