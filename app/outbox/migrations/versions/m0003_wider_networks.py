"""Count IPv6 visitors by wider networks too, index the rows to erase, and fail callbacks without a number."""

from ipaddress import IPv6Network

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

CALLBACKS = sa.table(
    "callbacks",
    sa.column("client_bucket", sa.String),
    sa.column("client_bucket_56", sa.String),
    sa.column("client_bucket_48", sa.String),
    sa.column("client_phone", sa.String),
    sa.column("status", sa.String),
    sa.column("reason", sa.String),
    sa.column("due_at", sa.BigInteger().with_variant(sa.DateTime(timezone=True), "postgresql")),
)
_AT_ONCE = 1000


def upgrade() -> None:
    """Add the columns and indexes, then fill them."""
    for prefix in (56, 48):
        op.add_column("callbacks", sa.Column(f"client_bucket_{prefix}", sa.String(length=64), nullable=True))
    _fill_networks(op.get_bind())
    for prefix in (56, 48):
        there = sa.text(f"client_bucket_{prefix} IS NOT NULL")
        op.create_index(
            f"ix_callbacks_client_bucket_{prefix}_created_at",
            "callbacks",
            [f"client_bucket_{prefix}", "created_at"],
            sqlite_where=there,
            postgresql_where=there,
        )
    personal = sa.text("client_phone IS NOT NULL")
    op.create_index(
        "ix_callbacks_personal", "callbacks", ["created_at"], sqlite_where=personal, postgresql_where=personal
    )
    # An operator could retry a callback after its number was erased. It can't be called.
    erased = CALLBACKS.c.client_phone.is_(None) & CALLBACKS.c.due_at.is_not(None)
    op.execute(sa.update(CALLBACKS).where(erased).values(status="failed", due_at=None, reason="personal_data_erased"))


def _fill_networks(connection: sa.Connection) -> None:
    """Fill the wider networks of stored visitors, so that their quotas stay exact."""
    table = CALLBACKS.c
    visitors = sa.select(table.client_bucket).where(table.client_bucket.like("%/64")).distinct()
    found = connection.scalars(visitors).all()
    fill = (
        sa.update(CALLBACKS)
        .where(table.client_bucket == sa.bindparam("bucket"))
        .values(client_bucket_56=sa.bindparam("bucket_56"), client_bucket_48=sa.bindparam("bucket_48"))
    )
    for start in range(0, len(found), _AT_ONCE):
        rows = [
            {f"bucket_{prefix}": str(IPv6Network(bucket).supernet(new_prefix=prefix)) for prefix in (56, 48)}
            | {"bucket": bucket}
            for bucket in found[start : start + _AT_ONCE]
        ]
        connection.execute(fill, rows)
