"""Index held callbacks: metrics count them."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

HELD = sa.text("status = 'held'")


def upgrade() -> None:
    """Create the index."""
    op.create_index("ix_callbacks_held", "callbacks", ["created_at"], sqlite_where=HELD, postgresql_where=HELD)
