"""Bringing the tables up to date, at start and by one process at a time."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from app.outbox.database import DatabaseUnusable, driver_words

_FOLDER = Path(__file__).parent / "migrations"
_LOCK = 0x4D494752


def migrate(engine: Engine) -> None:
    """Run the migrations the database doesn't have yet, all in one transaction. Raises DatabaseUnusable."""
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(text("SET LOCAL statement_timeout = 0"))
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except DBAPIError as error:
        raise DatabaseUnusable(
            f"DATABASE_URL: the database refused ({driver_words(error)}): check that it runs, "
            "that the address is right and that this user may change tables"
        ) from None
