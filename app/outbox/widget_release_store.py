"""SQL of the widget's releases that this database has seen.

A page may ask for an earlier release long after an update: its loader is pinned by a hash, or was kept by a cache. And
while replicas are updated one by one, a page may get its loader from one and the rest from another.
"""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, select

from app.outbox import upsert
from app.outbox.schema import widget_files


def keep(connection: Connection, version: str, bodies: Mapping[str, bytes], now: datetime) -> None:
    """Keep a release's files by name, unless they are there: a version names its bytes."""
    rows = [{"version": version, "name": name, "body": body, "kept_at": now} for name, body in bodies.items()]
    connection.execute(upsert.insert(connection, widget_files).on_conflict_do_nothing(), rows)


def release_versions(connection: Connection) -> frozenset[str]:
    """Give the versions of all releases there are."""
    return frozenset(connection.scalars(select(widget_files.c.version).distinct()))


def kept(connection: Connection, version: str) -> dict[str, bytes]:
    """Give a release's files by name; none when this database has never seen it."""
    files = select(widget_files.c.name, widget_files.c.body).where(widget_files.c.version == version)
    return {row.name: bytes(row.body) for row in connection.execute(files)}
