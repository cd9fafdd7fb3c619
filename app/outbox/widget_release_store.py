"""SQL for the releases of the widget that this database has stored.

A page may request an earlier release long after an update: its loader is pinned by a hash, or comes from a cache. While
replicas are updated one by one, a page may get its loader from one and the other files from another.
"""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, select

from app.outbox import upsert
from app.outbox.schema import widget_files


def save(connection: Connection, version: str, bodies: Mapping[str, bytes], now: datetime) -> None:
    """Store a release's files by name, unless they are stored already: a version identifies its bytes."""
    rows = [{"version": version, "name": name, "body": body, "kept_at": now} for name, body in bodies.items()]
    connection.execute(upsert.insert(connection, widget_files).on_conflict_do_nothing(), rows)


def release_versions(connection: Connection) -> frozenset[str]:
    """Return the versions of all stored releases."""
    return frozenset(connection.scalars(select(widget_files.c.version).distinct()))


def load(connection: Connection, version: str) -> dict[str, bytes]:
    """Return a release's files by name; empty if the version is not stored."""
    files = select(widget_files.c.name, widget_files.c.body).where(widget_files.c.version == version)
    return {row.name: bytes(row.body) for row in connection.execute(files)}
