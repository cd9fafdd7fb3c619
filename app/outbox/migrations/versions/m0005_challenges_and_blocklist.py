"""Store the used challenges and the blocklist."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

INSTANT = sa.BigInteger().with_variant(sa.DateTime(timezone=True), "postgresql")


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        "used_challenges",
        sa.Column("nonce", sa.String(length=32), nullable=False),
        sa.Column("callback_id", sa.String(length=36), nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("nonce", name=op.f("pk_used_challenges")),
    )
    op.create_index("ix_used_challenges_expires_at", "used_challenges", ["expires_at"])
    op.create_table(
        "blocklist",
        sa.Column("entry", sa.String(length=49), nullable=False),
        sa.Column("note", sa.String(length=200), nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("entry", name=op.f("pk_blocklist")),
    )
