"""Count aliases in quotas like callbacks, and store when a callback became ready to be sent.

Callbacks released or retried before count from their acceptance, and earlier aliases don't count. Quotas look back one
day, so both effects end after a day.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

CALLBACKS = sa.table("callbacks", sa.column("client_phone", sa.String), sa.column("message_on_ring", sa.String))
INSTANT = sa.BigInteger().with_variant(sa.DateTime(timezone=True), "postgresql")


def upgrade() -> None:
    """Add the columns and indexes, and erase messages without a number."""
    op.add_column("callbacks", sa.Column("ready_at", INSTANT, nullable=True))
    for name in ("client_bucket", "client_bucket_56", "client_bucket_48"):
        op.add_column("request_keys", sa.Column(name, sa.String(length=64), nullable=True))
        _index(name, [name, "created_at"])
    op.add_column("request_keys", sa.Column("call_expected_at", INSTANT, nullable=True))
    _index("call_expected_at", ["call_expected_at"])
    # The message may name a person, so it is erased with the number.
    op.execute(sa.update(CALLBACKS).where(CALLBACKS.c.client_phone.is_(None)).values(message_on_ring=None))


def _index(of: str, columns: list[str]) -> None:
    there = sa.text(f"{of} IS NOT NULL")
    name = "_".join(("ix_request_keys", *columns))
    op.create_index(name, "request_keys", columns, sqlite_where=there, postgresql_where=there)
