"""Index the after-hours queue, and store the widget's releases for pages that still request them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

INSTANT = sa.BigInteger().with_variant(sa.DateTime(timezone=True), "postgresql")


def upgrade() -> None:
    """Create the index and the table."""
    op.create_index("ix_callbacks_site_call_expected_at", "callbacks", ["site", "call_expected_at"])
    op.create_table(
        "widget_files",
        sa.Column("version", sa.String(length=12), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("kept_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("version", "name", name=op.f("pk_widget_files")),
    )
