"""Alembic environment of the log tables."""

from database.migrate import run_migrations

run_migrations("log")
