"""Refuse a migration while processes of an older version are connected to PostgreSQL.

Most migrations run beside old replicas. One doesn't: older versions would insert into columns that it drops. SQLite has
its process lock for this.
"""

from typing import Final

from sqlalchemy import Connection

from app.outbox.database import DatabaseError, other_connections

NOT_ROLLING: Final = "0013"
"""The first revision that processes of older versions can't work with."""


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
    others = other_connections(connection, of_older_versions=True)
    if not others:
        return None
    are_open = "1 connection of an older version is" if others == 1 else f"{others} connections of an older version are"
    return (
        f"DATABASE_URL: {are_open} open, and this upgrade can't run beside them: stop all processes of the older "
        "version, then start this one. A psql session or a pooler of the same user counts too: close it"
    )
