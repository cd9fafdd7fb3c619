"""Index the callbacks that are not `delivered` by their status."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create the index."""
    others = sa.text("status <> 'delivered'")
    op.create_index("ix_callbacks_status", "callbacks", ["status"], sqlite_where=others, postgresql_where=others)
