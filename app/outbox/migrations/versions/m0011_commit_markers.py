"""Create the markers of commits, which show after a lost connection whether a transaction was committed."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

INSTANT = sa.BigInteger().with_variant(sa.DateTime(timezone=True), "postgresql")


def upgrade() -> None:
    """Create the table, without rows: each process inserts its own."""
    op.create_table(
        "writers",
        sa.Column("process", sa.String(36), primary_key=True),
        sa.Column("last_batch", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
    )
