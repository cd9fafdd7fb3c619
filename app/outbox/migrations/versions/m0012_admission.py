"""Store when each callback and each attempt rings, and what admission decides by.

Times of callbacks that are stored already follow from what they were planned and expected for. Attempts that may have
rung get theirs too, so that the phone's caps count them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

INSTANT = sa.BigInteger().with_variant(sa.DateTime(timezone=True), "postgresql")
CALLBACKS = sa.table(
    "callbacks",
    sa.column("id", sa.String),
    sa.column("status", sa.String),
    sa.column("reason", sa.String),
    sa.column("api_key", sa.String),
    sa.column("client_bucket", sa.String),
    sa.column("client_bucket_48", sa.String),
    *(
        sa.column(name, INSTANT)
        for name in ("planned_time", "call_expected_at", "created_at", "rings_at", "rings_until")
    ),
    sa.column("held_for", sa.String),
    sa.column("client_network", sa.String),
)
ATTEMPTS = sa.table(
    "attempts",
    sa.column("callback_id", sa.String),
    sa.column("outcome", sa.String),
    *(sa.column(name, INSTANT) for name in ("started_at", "rings_at", "rings_until")),
)


def upgrade() -> None:
    """Add the columns, fill them, and create the indexes."""
    for column in (
        sa.Column("rings_at", INSTANT),
        sa.Column("rings_until", INSTANT),
        sa.Column("held_for", sa.String(32)),
        sa.Column("duplicate_of", sa.String(36)),
        sa.Column("again_of", sa.String(36)),
        sa.Column("again_chain", sa.String(36)),
        sa.Column("client_network", sa.String(64)),
        sa.Column("manager_given", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("message_given", sa.Boolean(), nullable=False, server_default=sa.false()),
    ):
        op.add_column("callbacks", column)
    for name in ("rings_at", "rings_until"):
        op.add_column("attempts", sa.Column(name, INSTANT))
    _fill_callbacks()
    _fill_attempts()
    _create_indexes()


def _fill_callbacks() -> None:
    table = CALLBACKS.c
    is_held = table.status == "held"
    ring = sa.case(
        (is_held, None), else_=sa.func.coalesce(table.planned_time, table.call_expected_at, table.created_at)
    )
    # An IPv4 bucket is an address. It ends in the digits that its /24 doesn't share.
    of_ipv4 = sa.func.rtrim(table.client_bucket, "0123456789") + "0/24"
    network = sa.case((table.client_bucket.like("%:%"), table.client_bucket_48), else_=of_ipv4)
    op.execute(
        sa.update(CALLBACKS).values(
            rings_at=ring,
            rings_until=ring,
            held_for=sa.case((is_held, table.reason)),
            client_network=sa.case((table.api_key.is_(None), network)),
        )
    )


def _fill_attempts() -> None:
    table = ATTEMPTS.c
    # A call planned or queued at Chaser rings later than it was sent.
    ring = sa.case((CALLBACKS.c.rings_at > table.started_at, CALLBACKS.c.rings_at), else_=table.started_at)
    may_have_rung = table.outcome.is_(None) | table.outcome.in_(["placed", "unknown"])
    op.execute(
        sa.update(ATTEMPTS)
        .where(table.callback_id == CALLBACKS.c.id, may_have_rung)
        .values(rings_at=ring, rings_until=ring)
    )


def _create_indexes() -> None:
    op.create_index("ix_callbacks_site_rings_at_status", "callbacks", ["site", "rings_at", "status"])
    for name, columns, condition in (
        ("ix_callbacks_site_created_at_held", ["site", "created_at"], "held_for IS NOT NULL"),
        (
            "ix_callbacks_client_network_site_rings_at",
            ["client_network", "site", "rings_at"],
            "client_network IS NOT NULL",
        ),
        ("ix_callbacks_to_resend", ["site"], "status = 'unknown' AND due_at IS NOT NULL"),
        ("ix_callbacks_again_chain", ["again_chain"], "again_chain IS NOT NULL"),
    ):
        where = sa.text(condition)
        op.create_index(name, "callbacks", columns, sqlite_where=where, postgresql_where=where)
