"""Alembic's entry point. `outbox/migrate.py` passes in the connection and its open transaction."""

from alembic import context

from app.outbox.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
