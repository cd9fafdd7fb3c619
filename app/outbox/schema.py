"""The tables, for SQLite and PostgreSQL alike. Migrations create them; a test holds the two together."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.types import JSON, TypeDecorator, TypeEngine

from app.outbox.callback import Status

_DUE = text("due_at IS NOT NULL")
_LEASED = text("lease_until IS NOT NULL")
_HELD = text("status = 'held'")
_PERSONAL = text("client_phone IS NOT NULL")
_OF_CLIENT = text("client_bucket IS NOT NULL")
_IN_56 = text("client_bucket_56 IS NOT NULL")
_IN_48 = text("client_bucket_48 IS NOT NULL")
_IN_LINE = text("call_expected_at IS NOT NULL")
NOT_PLACED: Final = f"status <> '{Status.PLACED}'"
"""Word for word the condition of an index, for statements that are to use it."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Instant(TypeDecorator[datetime]):
    """An aware point in time: timestamptz on PostgreSQL, microseconds since 1970 on SQLite, UTC outside."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column type of the engine."""
        return dialect.type_descriptor(DateTime(timezone=True) if dialect.name == "postgresql" else BigInteger())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Write an aware time. Raises TypeError for a naive one."""
        if value is None or dialect.name == "postgresql":
            return value
        return (value - _EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Read a time back in UTC."""
        if value is None:
            return None
        if dialect.name == "postgresql":
            return value.astimezone(UTC)  # type: ignore[no-any-return]
        return _EPOCH + timedelta(microseconds=value)


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

callbacks = Table(
    "callbacks",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("site", String(64), nullable=False),
    Column("account", String(255), nullable=False),
    Column("chaser_site_id", BigInteger, nullable=False),
    Column("status", String(16), nullable=False),
    # Personal data may be erased while the row stays for statistics; so these can be null.
    Column("client_phone", String(15)),
    Column("client_ip", String(45)),
    Column("active_page", Text),
    Column("referrer", Text),
    Column("consent", JSON(none_as_null=True)),
    Column("client_bucket", String(64)),
    Column("phone_certain", Boolean, nullable=False),
    Column("manager_phone", String(15)),
    Column("planned_time", Instant),
    Column("message_on_ring", Text),
    Column("nwt_action", String(16)),
    Column("call_stack_start_hour", Integer),
    Column("call_stack_interval", Integer),
    Column("department", String(64)),
    Column("api_key", String(64)),
    Column("created_at", Instant, nullable=False),
    Column("due_at", Instant),  # when the next attempt is due; null: none is
    Column("give_up_at", Instant, nullable=False),
    Column("call_expected_at", Instant),
    Column("updated_at", Instant, nullable=False),
    Column("reason", String(64)),  # why it is in this status, a stable code
    Column("lease_token", String(36)),
    Column("lease_until", Instant),
    # The wider networks of an IPv6 visitor; null for all others.
    Column("client_bucket_56", String(64)),
    Column("client_bucket_48", String(64)),
    Column(
        "available_at", Instant
    ),  # when a person released or retried it last; null: it is ready since it was accepted
    Index("ix_callbacks_due_at", "due_at", sqlite_where=_DUE, postgresql_where=_DUE),
    Index("ix_callbacks_lease_until", "lease_until", sqlite_where=_LEASED, postgresql_where=_LEASED),
    Index("ix_callbacks_held", "created_at", sqlite_where=_HELD, postgresql_where=_HELD),
    Index("ix_callbacks_client_phone_created_at", "client_phone", "created_at"),
    Index("ix_callbacks_client_bucket_created_at", "client_bucket", "created_at"),
    Index("ix_callbacks_site_created_at", "site", "created_at"),
    Index("ix_callbacks_site_call_expected_at", "site", "call_expected_at"),
    Index("ix_callbacks_created_at", "created_at"),
    # For people who look for what went wrong. Nearly all callbacks leave it within seconds, so it stays small.
    Index("ix_callbacks_status", "status", sqlite_where=text(NOT_PLACED), postgresql_where=text(NOT_PLACED)),
    # For erasing: what was erased is not looked at again, however much of it there is.
    Index("ix_callbacks_personal", "created_at", sqlite_where=_PERSONAL, postgresql_where=_PERSONAL),
    Index(
        "ix_callbacks_client_bucket_56_created_at",
        "client_bucket_56",
        "created_at",
        sqlite_where=_IN_56,
        postgresql_where=_IN_56,
    ),
    Index(
        "ix_callbacks_client_bucket_48_created_at",
        "client_bucket_48",
        "created_at",
        sqlite_where=_IN_48,
        postgresql_where=_IN_48,
    ),
)

attempts = Table(
    "attempts",
    metadata,
    Column("callback_id", String(36), ForeignKey("callbacks.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("started_at", Instant, nullable=False),
    Column("outcome", String(16)),  # null while it is under way
    Column("http_status", Integer),
    Column("duration_ms", Integer),
    Column("detail", String(64)),
    Column("answer", Text),  # the first 2 KiB of what Chaser said
)

request_keys = Table(
    "request_keys",
    metadata,
    Column("scope", String(80), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("callback_id", String(36), ForeignKey("callbacks.id", ondelete="CASCADE"), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("answer", JSON, nullable=False),  # what was answered the first time, to be answered again
    # Of an alias, which counts as the callback it looks like; the first one also of what a visitor repeated, and the
    # last one only of what stands in line.
    Column("client_bucket", String(64)),
    Column("client_bucket_56", String(64)),
    Column("client_bucket_48", String(64)),
    Column("call_expected_at", Instant),
    Index("ix_request_keys_created_at", "created_at"),
    Index("ix_request_keys_callback_id", "callback_id"),
    *(
        Index(f"ix_request_keys_{name}_created_at", name, "created_at", sqlite_where=there, postgresql_where=there)
        for name, there in (("client_bucket", _OF_CLIENT), ("client_bucket_56", _IN_56), ("client_bucket_48", _IN_48))
    ),
    Index("ix_request_keys_call_expected_at", "call_expected_at", sqlite_where=_IN_LINE, postgresql_where=_IN_LINE),
)

# The widget's releases, as they were served; a few dozen kilobytes for each version.
widget_files = Table(
    "widget_files",
    metadata,
    Column("version", String(12), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("kept_at", Instant, nullable=False),
)

# A challenge is used once: kept until it has expired anyway.
used_challenges = Table(
    "used_challenges",
    metadata,
    Column("nonce", String(32), primary_key=True),
    Column("callback_id", String(36), nullable=False),  # the id of the request that used it, also where none was stored
    Column("expires_at", Instant, nullable=False),
    Index("ix_used_challenges_expires_at", "expires_at"),
)

# Phones in digits, and networks in CIDR notation: nobody there is phoned, nobody from there is listened to.
blocklist = Table(
    "blocklist",
    metadata,
    Column("entry", String(49), primary_key=True),
    Column("note", String(200)),
    Column("created_at", Instant, nullable=False),
)
