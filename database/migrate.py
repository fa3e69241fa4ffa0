"""Bring a database's tables to this release, by Alembic."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Literal

from alembic import command, context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from database.errors import DatabaseUnavailableError, SchemaVersionError

Tree = Literal["control", "log"]
_MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(engine: Engine, tree: Tree, lock: Path) -> None:
    """Create or upgrade the tables of one migration tree; does nothing when they are current.

    Args:
        engine: The database.
        tree: `control` (serving state, rollouts) or `log` (predictions, outcomes).
        lock: A file that keeps two processes from migrating at once.

    Raises:
        SchemaVersionError: The database is newer than this release.
        DatabaseUnavailableError: It cannot be opened.
    """
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS / tree))
    config.attributes["engine"] = engine
    script = ScriptDirectory.from_config(config)
    where = engine.url.render_as_string(hide_password=True)
    lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            with engine.connect() as connection:
                current = MigrationContext.configure(
                    connection, opts={"version_table": version_table(tree)}
                ).get_current_revision()
        except OperationalError as error:
            raise DatabaseUnavailableError(where, str(error.orig)) from error
        if current == script.get_current_head():
            return
        if current is not None and current not in {revision.revision for revision in script.walk_revisions()}:
            raise SchemaVersionError(where, current)
        command.upgrade(config, "head")


def version_table(tree: Tree) -> str:
    """Return the name of the table that keeps a tree's revision; both trees may share one server database."""
    return f"alembic_version_{tree}"


def run_migrations(tree: Tree) -> None:
    """Run what Alembic asked for; called by each tree's `env.py`."""
    engine: Engine = context.config.attributes["engine"]
    with engine.connect() as connection:
        context.configure(
            connection=connection, version_table=version_table(tree), render_as_batch=True, target_metadata=None
        )
        with connection.begin():
            context.run_migrations()
