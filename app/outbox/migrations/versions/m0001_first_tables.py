"""Create the first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# A copy of the schema's type: a migration must not change when the schema module does.
INSTANT = sa.BigInteger().with_variant(sa.DateTime(timezone=True), "postgresql")


def upgrade() -> None:
    """Create them."""
    op.create_table(
        "callbacks",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("site", sa.String(length=64), nullable=False),
        sa.Column("account", sa.String(length=255), nullable=False),
        sa.Column("chaser_site_id", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("client_phone", sa.String(length=15), nullable=True),
        sa.Column("client_ip", sa.String(length=45), nullable=True),
        sa.Column("active_page", sa.Text(), nullable=True),
        sa.Column("referrer", sa.Text(), nullable=True),
        sa.Column("consent", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("client_bucket", sa.String(length=64), nullable=True),
        sa.Column("phone_certain", sa.Boolean(), nullable=False),
        sa.Column("manager_phone", sa.String(length=15), nullable=True),
        sa.Column("planned_time", INSTANT, nullable=True),
        sa.Column("message_on_ring", sa.Text(), nullable=True),
        sa.Column("nwt_action", sa.String(length=16), nullable=True),
        sa.Column("call_stack_start_hour", sa.Integer(), nullable=True),
        sa.Column("call_stack_interval", sa.Integer(), nullable=True),
        sa.Column("department", sa.String(length=64), nullable=True),
        sa.Column("api_key", sa.String(length=64), nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("due_at", INSTANT, nullable=True),
        sa.Column("give_up_at", INSTANT, nullable=False),
        sa.Column("call_expected_at", INSTANT, nullable=True),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("lease_token", sa.String(length=36), nullable=True),
        sa.Column("lease_until", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_callbacks")),
    )
    op.create_index("ix_callbacks_client_bucket_created_at", "callbacks", ["client_bucket", "created_at"])
    op.create_index("ix_callbacks_client_phone_created_at", "callbacks", ["client_phone", "created_at"])
    op.create_index("ix_callbacks_created_at", "callbacks", ["created_at"])
    op.create_index(
        "ix_callbacks_due_at",
        "callbacks",
        ["due_at"],
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index(
        "ix_callbacks_lease_until",
        "callbacks",
        ["lease_until"],
        sqlite_where=sa.text("lease_until IS NOT NULL"),
        postgresql_where=sa.text("lease_until IS NOT NULL"),
    )
    op.create_index("ix_callbacks_site_created_at", "callbacks", ["site", "created_at"])

    op.create_table(
        "attempts",
        sa.Column("callback_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("detail", sa.String(length=64), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["callback_id"], ["callbacks.id"], name=op.f("fk_attempts_callback_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("callback_id", "number", name=op.f("pk_attempts")),
    )
    op.create_table(
        "request_keys",
        sa.Column("scope", sa.String(length=80), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("callback_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["callback_id"], ["callbacks.id"], name=op.f("fk_request_keys_callback_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("scope", "key", name=op.f("pk_request_keys")),
    )
    op.create_index("ix_request_keys_callback_id", "request_keys", ["callback_id"])
    op.create_index("ix_request_keys_created_at", "request_keys", ["created_at"])
