"""Return the disk space of deleted rows to the file system, on demand."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from app.outbox.database import Database, DatabaseError, compact, driver_message
from app.outbox.schema import metadata


def vacuum(database: Database) -> tuple[int, int]:
    """Rewrite SQLite's file without free pages, or run VACUUM ANALYZE on PostgreSQL's tables.

    Returns the bytes on disk before and after. SQLite meanwhile needs as many free bytes again. Raises `DatabaseError`.
    """
    try:
        with database.writing.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            return _on_sqlite(connection) if database.is_exclusive else _on_postgresql(connection)
    except DBAPIError as error:
        raise DatabaseError(
            f"DATABASE_URL: the database refused ({driver_message(error)}): check the free space on its disk and "
            "the rights of its user"
        ) from None


def _on_sqlite(connection: Connection) -> tuple[int, int]:
    # On the driver's connection: SQLAlchemy's engine would begin a transaction, in which VACUUM fails.
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101  (set while the connection is open)
    path = Path(str(connection.engine.url.database))
    before = path.stat().st_size
    compact(driver, rewrite=True)
    return before, path.stat().st_size


def _on_postgresql(connection: Connection) -> tuple[int, int]:
    tables = set(inspect(connection).get_table_names()) & set(metadata.tables)
    sizes = text(
        "SELECT coalesce(sum(pg_total_relation_size(name::regclass)), 0) FROM unnest(CAST(:names AS text[])) AS name"
    )
    names = {"names": sorted(tables)}
    before = connection.scalar(sizes, names)
    connection.execute(text("SET statement_timeout = 0"))
    for table in sorted(tables):
        connection.exec_driver_sql(f"VACUUM (ANALYZE) {table}")
    return int(before or 0), int(connection.scalar(sizes, names) or 0)
