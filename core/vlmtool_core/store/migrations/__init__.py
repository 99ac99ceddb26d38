"""Alembic scripts: one file per revision, applied in order by `store.migrate`."""
