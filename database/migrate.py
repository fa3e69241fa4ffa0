"""Bring a database's tables to this release, by Alembic."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Final

from alembic import command, context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from database.engine import Tree, patiently
from database.errors import DatabaseUnavailableError, SchemaVersionError

_OTHERS_SECONDS: Final = 600.0
"""How long a migration waits for that of another host; on a large log it may take minutes."""
_MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(engine: Engine, tree: Tree, lock: Path) -> None:
    """Create or upgrade the tables of one migration tree; does nothing when they are current.

    What is there is looked at and changed in one transaction, which another host's waits for.

    Args:
        engine: The database.
        tree: `control` (serving state, rollouts) or `log` (predictions, outcomes).
        lock: A file that keeps two processes of this host from making an SQLite file at once.

    Raises:
        SchemaVersionError: The database is newer than this release.
        DatabaseUnavailableError: It cannot be opened.
    """
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS / tree))
    script = ScriptDirectory.from_config(config)
    where = engine.url.render_as_string(hide_password=True)
    lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            with patiently(engine, _OTHERS_SECONDS).begin() as connection:
                current = MigrationContext.configure(
                    connection, opts={"version_table": version_table(tree)}
                ).get_current_revision()
                if current == script.get_current_head():
                    return
                if current is not None and current not in {known.revision for known in script.walk_revisions()}:
                    raise SchemaVersionError(where, current)
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        except OperationalError as error:
            raise DatabaseUnavailableError(where, str(error.orig)) from error


def version_table(tree: Tree) -> str:
    """Return the name of the table that keeps a tree's revision; both trees may share one server database."""
    return f"alembic_version_{tree}"


def run_migrations(tree: Tree) -> None:
    """Run what Alembic asked for; called by each tree's `env.py`."""
    connection: Connection = context.config.attributes["connection"]
    context.configure(
        connection=connection, version_table=version_table(tree), render_as_batch=True, target_metadata=None
    )
    context.run_migrations()
