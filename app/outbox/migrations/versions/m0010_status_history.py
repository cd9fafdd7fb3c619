"""Store every change of a callback's status. Existing callbacks have a history from now on only."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

INSTANT = sa.BigInteger().with_variant(sa.DateTime(timezone=True), "postgresql")


def upgrade() -> None:
    """Add the sequence to callbacks, and create the history."""
    op.add_column("callbacks", sa.Column("status_sequence", sa.Integer(), nullable=False, server_default="0"))
    op.create_table(
        "status_history",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(), primary_key=True),
        sa.Column("callback_id", sa.String(36), sa.ForeignKey("callbacks.id", ondelete="CASCADE")),
        sa.Column("site", sa.String(64)),
        sa.Column("sequence", sa.Integer()),
        sa.Column("from_status", sa.String(16)),
        sa.Column("to_status", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(64)),
        sa.Column("actor", sa.String(80), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_status_history_callback_id_sequence", "status_history", ["callback_id", "sequence"], unique=True
    )
