"""Refuse a migration while processes of an older version are connected to PostgreSQL.

Most migrations run beside old replicas. One doesn't: older versions would insert into columns that it drops. SQLite has
its process lock for this.
"""

import time
from typing import Final

from sqlalchemy import Connection, text

from app.outbox.database import APPLICATION, DatabaseError

NOT_ROLLING: Final = "0013"
"""The first revision that processes of older versions can't work with."""

# Versions before 0.2.0 set no application name.
_OTHERS: Final = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = current_user "
    "AND backend_type = 'client backend' AND NOT starts_with(application_name, :ours) AND pid <> pg_backend_pid()"
)
# Otherwise a transaction would see what it saw first.
_CLEAR: Final = text("SELECT pg_stat_clear_snapshot()")
LOOKS, _PAUSE = 20, 0.05  # pg_stat_activity still lists a connection for a moment after it closed; seconds


def check_no_older_processes(connection: Connection, revision: str) -> None:
    """Raise `DatabaseError` if processes of an older version may use a database with the schema of `revision`.

    A psql session of the same user counts too: PostgreSQL can't tell the two apart.
    """
    if why := why_not_migrated(connection, revision):
        raise DatabaseError(why)


def why_not_migrated(connection: Connection, revision: str) -> str | None:
    """Return why a database with the schema of `revision` can't be migrated now, and the fix; None if it can."""
    if connection.dialect.name != "postgresql" or revision >= NOT_ROLLING:
        return None
    others = 0
    for look in range(LOOKS):
        if look:
            time.sleep(_PAUSE)
        connection.execute(_CLEAR)
        others = connection.execute(_OTHERS, {"ours": APPLICATION}).scalar_one()
        if not others:
            return None
    are_open = "1 connection of an older version is" if others == 1 else f"{others} connections of an older version are"
    return (
        f"DATABASE_URL: {are_open} open, and this upgrade can't run beside them: stop all processes of the older "
        "version, then start this one. A psql session or a pooler of the same user counts too: close it"
    )
