"""What Alembic runs: the caller passes an open connection in the configuration's attributes."""

from __future__ import annotations

from alembic import context

from vlmtool_core.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
