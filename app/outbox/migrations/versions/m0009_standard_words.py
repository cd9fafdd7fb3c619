"""Rename statuses, reasons and outcomes to standard terms: `placed` instead of `delivered`, and others."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

STATUSES = {"delivered": "placed"}
OUTCOMES = {"delivered": "placed", "account": "forbidden", "not_begun": "not_started"}
DETAILS = {"overslept": "lease_margin_exceeded"}
REASONS = {
    "waits_for_a_person": "awaiting_operator",
    "resent_once_already": "resend_exhausted",
    "too_old": "expired",
    "too_old_to_resend": "expired_unknown",
    "not_begun": "not_started",
    "trap_filled": "honeypot",
    "number_and_network_doubtful": "suspicious_network",
}
CALLBACKS = sa.table("callbacks", sa.column("status", sa.String), sa.column("reason", sa.String))
ATTEMPTS = sa.table("attempts", sa.column("outcome", sa.String), sa.column("detail", sa.String))
REQUEST_KEYS = sa.table("request_keys", sa.column("answer", sa.JSON))


def upgrade() -> None:
    """Rename the column and the values, and rebuild the index that depends on them."""
    op.alter_column("callbacks", "ready_at", new_column_name="available_at")
    # The condition of this partial index names the old status.
    op.drop_index("ix_callbacks_status", "callbacks")
    _rename(CALLBACKS, "status", STATUSES)
    _rename(CALLBACKS, "reason", REASONS)
    _rename(ATTEMPTS, "outcome", OUTCOMES)
    _rename(ATTEMPTS, "detail", DETAILS)
    _rename_in_answers()
    others = sa.text("status <> 'placed'")
    op.create_index("ix_callbacks_status", "callbacks", ["status"], sqlite_where=others, postgresql_where=others)


def _rename(table: sa.TableClause, column: str, names: dict[str, str]) -> None:
    value = table.c[column]
    renamed = sa.case(names, value=value)
    op.execute(sa.update(table).where(value.in_(names)).values({column: renamed}))


def _rename_in_answers() -> None:
    """Rename the status in stored responses: a replayed response uses this version's terms."""
    answer = sa.cast(REQUEST_KEYS.c.answer, sa.Text)
    renamed = sa.func.replace(answer, '"delivered"', '"placed"')
    value = (
        sa.cast(renamed, sa.JSON) if op.get_bind().dialect.name == "postgresql" else sa.type_coerce(renamed, sa.Text)
    )
    op.execute(sa.update(REQUEST_KEYS).where(answer.like('%"delivered"%')).values(answer=value))
