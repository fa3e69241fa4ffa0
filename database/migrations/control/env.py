"""Alembic environment of the control tables."""

from database.migrate import run_migrations

run_migrations("control")
