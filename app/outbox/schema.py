"""The tables, for SQLite and PostgreSQL alike. Migrations create them; a test compares the two.

Each column declares its kind of data once, with `info=`: PERSONAL is erased after `KEEP_PERSONAL_DATA`, PUBLIC stays,
and both are shown to an API key that may read callbacks. INTERNAL never leaves the service. Erasing, the API and the
leak test derive from these declarations.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    Dialect,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    false,
    func,
    text,
)
from sqlalchemy.types import JSON, TypeDecorator, TypeEngine

from app.outbox.callback import Status

PERSONAL: Final = {"erased": True, "shown": True}
"""About a person: erased, and shown to API keys until then."""
PERSONAL_INTERNAL: Final = {"erased": True, "shown": False}
"""About a person, and used by the service alone."""
PERSONAL_KEPT: Final = {"erased": False, "shown": True}
"""About a person, and kept until an operator deletes the row: the blocklist."""
PUBLIC: Final = {"erased": False, "shown": True}
INTERNAL: Final = {"erased": False, "shown": False}

_DUE = text("due_at IS NOT NULL")
_LEASED = text("lease_until IS NOT NULL")
_HELD = text("status = 'held'")
_NOT_ERASED = text("client_phone IS NOT NULL")
_IN_56 = text("client_bucket_56 IS NOT NULL")
_IN_48 = text("client_bucket_48 IS NOT NULL")
_OF_NETWORK = text("client_network IS NOT NULL")
_HELD_FOR = text("held_for IS NOT NULL")
_IN_CHAIN = text("again_chain IS NOT NULL")
NOT_PLACED: Final = f"status <> '{Status.PLACED}'"
"""The condition of an index, to the letter: a statement uses that index only if it repeats it."""
TO_RESEND: Final = text("status = 'unknown' AND due_at IS NOT NULL")
"""The condition of an index, for unknown callbacks with a resend due."""
LEGACY_FINGERPRINT: Final = "legacy"
"""The fingerprint of request keys stored by versions before 0.2.0. They match by site and phone."""
LEGACY_SIGNING: Final = "legacy"
"""In place of the key that signed challenges before 0.2.0: see `Settings.legacy_secret`."""
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Instant(TypeDecorator[datetime]):
    """An aware point in time: timestamptz on PostgreSQL, microseconds since 1970 on SQLite, UTC outside."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the column type of the engine."""
        return dialect.type_descriptor(DateTime(timezone=True) if dialect.name == "postgresql" else BigInteger())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Convert an aware time for the driver. Raises TypeError for a naive one."""
        if value is None or dialect.name == "postgresql":
            return value
        since = value - EPOCH
        return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Convert a stored value to a time in UTC."""
        if value is None:
            return None
        if dialect.name == "postgresql":
            return value.astimezone(UTC)  # type: ignore[no-any-return]
        return EPOCH + timedelta(microseconds=value)


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
    Column("id", String(36), primary_key=True, info=PUBLIC),
    Column("site", String(64), nullable=False, info=PUBLIC),
    Column("account", String(255), nullable=False, info=INTERNAL),
    Column("chaser_site_id", BigInteger, nullable=False, info=INTERNAL),
    Column("status", String(16), nullable=False, info=PUBLIC),
    # Personal data is erased while the row stays for statistics, so these can be null.
    Column("client_phone", String(15), info=PERSONAL),
    Column("client_ip", String(45), info=PERSONAL),
    Column("active_page", Text, info=PERSONAL),
    Column("referrer", Text, info=PERSONAL),
    Column("consent", JSON(none_as_null=True), info=PERSONAL),
    Column("client_bucket", String(64), info=PERSONAL_INTERNAL),
    Column("phone_certain", Boolean, nullable=False, info=PUBLIC),
    Column("manager_phone", String(15), info=PUBLIC),
    Column("planned_time", Instant, info=PUBLIC),
    Column("message_on_ring", Text, info=PERSONAL),
    Column("nwt_action", String(16), info=PUBLIC),
    Column("call_stack_start_hour", Integer, info=PUBLIC),
    Column("call_stack_interval", Integer, info=PUBLIC),
    Column("department", String(64), info=PUBLIC),
    Column("api_key", String(64), info=PUBLIC),
    Column("created_at", Instant, nullable=False, info=PUBLIC),
    Column("due_at", Instant, info=PUBLIC),  # when the next attempt is due; null: never
    Column("give_up_at", Instant, nullable=False, info=PUBLIC),
    Column("call_expected_at", Instant, info=PUBLIC),
    Column("updated_at", Instant, nullable=False, info=PUBLIC),
    Column("reason", String(64), info=PUBLIC),  # a stable code for the present status
    Column("lease_token", String(36), info=INTERNAL),
    Column("lease_until", Instant, info=INTERNAL),
    # The wider networks of an IPv6 visitor; null for all others.
    Column("client_bucket_56", String(64), info=PERSONAL_INTERNAL),
    Column("client_bucket_48", String(64), info=PERSONAL_INTERNAL),
    Column("available_at", Instant, info=INTERNAL),  # last release or retry; null: available since it was accepted
    Column("status_sequence", Integer, nullable=False, server_default="0", info=INTERNAL),  # of the last change
    Column("rings_at", Instant, info=PUBLIC),  # the earliest moment the phone may ring; null: held
    Column("rings_until", Instant, info=INTERNAL),  # the last moment at which an attempt may ring
    Column("held_for", String(32), info=PUBLIC),  # the reason it was held for when it was accepted
    Column("duplicate_of", String(36), info=PUBLIC),  # the callback that it was merged into
    Column("again_of", String(36), info=PUBLIC),  # the callback that did not ring, as its visitor says
    Column("again_chain", String(36), info=INTERNAL),  # the first callback of the chain of `again_of`
    Column("client_network", String(64), info=PERSONAL_INTERNAL),  # the /24 or /48 of a visitor
    # Whether an API key sent them. Those rendered from the settings don't distinguish two requests.
    Column("manager_given", Boolean, nullable=False, server_default=false(), info=INTERNAL),
    Column("message_given", Boolean, nullable=False, server_default=false(), info=INTERNAL),
    Index("ix_callbacks_due_at", "due_at", sqlite_where=_DUE, postgresql_where=_DUE),
    Index("ix_callbacks_lease_until", "lease_until", sqlite_where=_LEASED, postgresql_where=_LEASED),
    Index("ix_callbacks_held", "created_at", sqlite_where=_HELD, postgresql_where=_HELD),
    Index("ix_callbacks_client_phone_duplicate_of", "client_phone", "duplicate_of"),
    Index("ix_callbacks_client_bucket_created_at", "client_bucket", "created_at"),
    Index("ix_callbacks_site_created_at", "site", "created_at"),
    Index("ix_callbacks_created_at", "created_at"),
    # Finds callbacks that are not placed. Most callbacks leave this index within seconds, duplicates after seven days.
    Index("ix_callbacks_status", "status", sqlite_where=text(NOT_PLACED), postgresql_where=text(NOT_PLACED)),
    # For erasing: rows already erased are not read again.
    Index("ix_callbacks_personal", "created_at", sqlite_where=_NOT_ERASED, postgresql_where=_NOT_ERASED),
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
    # With the status, so that SQLite counts a site's rings without reading its rows.
    Index("ix_callbacks_site_rings_at_status", "site", "rings_at", "status"),
    Index(
        "ix_callbacks_client_network_site_rings_at",
        "client_network",
        "site",
        "rings_at",
        sqlite_where=_OF_NETWORK,
        postgresql_where=_OF_NETWORK,
    ),
    Index(
        "ix_callbacks_site_created_at_held", "site", "created_at", sqlite_where=_HELD_FOR, postgresql_where=_HELD_FOR
    ),
    # For each second's look for resends that the settings hold.
    Index("ix_callbacks_to_resend", "site", sqlite_where=TO_RESEND, postgresql_where=TO_RESEND),
    Index("ix_callbacks_again_chain", "again_chain", sqlite_where=_IN_CHAIN, postgresql_where=_IN_CHAIN),
)

attempts = Table(
    "attempts",
    metadata,
    Column("callback_id", String(36), ForeignKey("callbacks.id", ondelete="CASCADE"), primary_key=True, info=INTERNAL),
    Column("number", Integer, primary_key=True, info=PUBLIC),
    Column("started_at", Instant, nullable=False, info=PUBLIC),
    Column("outcome", String(16), info=PUBLIC),  # null while it is in flight
    Column("http_status", Integer, info=PUBLIC),
    Column("duration_ms", Integer, info=PUBLIC),
    Column("detail", String(64), info=PUBLIC),
    Column("answer", Text, info=PERSONAL),  # the first 2 KiB of the body of the response
    Column("rings_at", Instant, info=PUBLIC),  # null if it can't have rung
    Column("rings_until", Instant, info=INTERNAL),
)

request_keys = Table(
    "request_keys",
    metadata,
    Column("scope", String(80), primary_key=True, info=INTERNAL),
    Column("key", String(255), primary_key=True, info=INTERNAL),
    # Two visitors may choose the same key. LEGACY_FINGERPRINT matches any request for the callback's site and phone.
    Column("fingerprint", String(64), primary_key=True, info=INTERNAL),
    Column("callback_id", String(36), ForeignKey("callbacks.id", ondelete="CASCADE"), nullable=False, info=INTERNAL),
    Column("created_at", Instant, nullable=False, info=INTERNAL),
    Column("answer", JSON, nullable=False, info=INTERNAL),  # the first response, for replays
    Index("ix_request_keys_created_at", "created_at"),
    Index("ix_request_keys_callback_id", "callback_id"),
)

# Every change of a callback's status, written by `transitions` in the same transaction. It is the log of events, so it
# also has room for what concerns a site or the whole service, without a callback. On SQLite ids are in commit order. On
# PostgreSQL they come from a sequence, so a row may commit after a later one. A reader notes the sequence's last_value
# and pg_snapshot_xmax, and may pass that id once pg_snapshot_xmin has reached the noted xmax.
status_history = Table(
    "status_history",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), Identity(), primary_key=True, info=INTERNAL),
    Column("callback_id", String(36), ForeignKey("callbacks.id", ondelete="CASCADE"), info=INTERNAL),
    Column("site", String(64), info=INTERNAL),  # null: the whole service
    Column("sequence", Integer, info=PUBLIC),  # of this callback, from 1 on; null without a callback
    Column("from_status", String(16), info=PUBLIC),  # null when the callback is accepted
    Column("to_status", String(16), nullable=False, info=PUBLIC),
    Column("reason", String(64), info=PUBLIC),
    Column("actor", String(80), nullable=False, info=PUBLIC),  # system, visitor, operator, or key:<name of the API key>
    Column("created_at", Instant, nullable=False, info=PUBLIC),
    Index("ix_status_history_callback_id_sequence", "callback_id", "sequence", unique=True),
    sqlite_autoincrement=True,  # otherwise SQLite would use the id of a deleted row again
)

# The widget's releases, as they were served; a few dozen kilobytes for each version.
widget_files = Table(
    "widget_files",
    metadata,
    Column("version", String(12), primary_key=True, info=PUBLIC),
    Column("name", String(64), primary_key=True, info=PUBLIC),
    Column("body", LargeBinary, nullable=False, info=PUBLIC),
    Column("kept_at", Instant, nullable=False, info=PUBLIC),
)

# A challenge is used once; its nonce is kept for two days.
used_challenges = Table(
    "used_challenges",
    metadata,
    Column("nonce", String(32), primary_key=True, info=INTERNAL),
    Column("callback_id", String(36), nullable=False, info=INTERNAL),  # of the request that used it, stored or not
    Column("expires_at", Instant, nullable=False, info=INTERNAL),
    Index("ix_used_challenges_expires_at", "expires_at"),
)

# Phones in digits, and networks in CIDR notation: these phones are never called, these networks are refused.
# Not erased by age: an entry stays until an operator deletes it.
blocklist = Table(
    "blocklist",
    metadata,
    Column("entry", String(49), primary_key=True, info=PERSONAL_KEPT),
    Column("note", String(200), info=PERSONAL_KEPT),
    Column("created_at", Instant, nullable=False, info=PUBLIC),
)

# The last transaction of each process that writes to PostgreSQL: see `commit_markers`. Without rows on SQLite.
writers = Table(
    "writers",
    metadata,
    Column("process", String(36), primary_key=True, info=INTERNAL),
    Column("last_batch", BigInteger, nullable=False, info=INTERNAL),
    Column("updated_at", Instant, nullable=False, info=INTERNAL),  # by the server's clock
)

# The service's own secret, in one row: see `secret_store`.
service_secrets = Table(
    "service_secrets",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, info=INTERNAL),
    Column("secret", String(64), nullable=False, info=INTERNAL),
    Column("signing", String(64), nullable=False, info=INTERNAL),  # signs challenges
    Column("previous", String(64), info=INTERNAL),  # signed them until `changed_at`
    Column("changed_at", Instant, info=INTERNAL),
)


def no_index(column: Column[Any]) -> ColumnElement[Any]:
    """Return an expression equal to a column that fits no index, so that the planner uses that of another condition."""
    return func.coalesce(column, column, type_=column.type)


def erased_columns(table: Table) -> dict[str, None]:
    """Return the values that erase the personal data of a row: null for each column about a person."""
    return {column.name: None for column in table.c if column.info.get("erased")}


def shown_columns(table: Table) -> list[Column[Any]]:
    """Return the columns that an API key may see, in the order of the table."""
    return [column for column in table.c if column.info.get("shown")]
