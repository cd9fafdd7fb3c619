"""Alembic's entry point. The connection, with its open transaction, is handed in by outbox/migrate.py."""

from alembic import context

from app.outbox.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
