"""Counts of windows, attributes of units and of callers' ids, and names of predictions that are awaited."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_index(
        "prediction_by_unit",
        "prediction",
        ["unit_hash"],
        sqlite_where=sa.text("unit_hash IS NOT NULL"),
        postgresql_where=sa.text("unit_hash IS NOT NULL"),
    )
    op.create_table(
        "unit_attribute",
        sa.Column("unit_hash", sa.String, primary_key=True),
        sa.Column("attribute", sa.String, primary_key=True),
        sa.Column("value", sa.String),
    )
    op.create_table(
        "caller_attribute",
        sa.Column("model", sa.String, primary_key=True),
        sa.Column("caller_id", sa.String, primary_key=True),
        sa.Column("attribute", sa.String, primary_key=True),
        sa.Column("value", sa.String),
    )
    op.create_table(
        "orphan",
        sa.Column("model", sa.String, primary_key=True),
        sa.Column("name", sa.String, primary_key=True),
    )
    op.create_table(
        "window_cell",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("model_version", sa.String, nullable=False),
        sa.Column("variant", sa.String, nullable=False),
        sa.Column("groups", sa.String, nullable=False),
        sa.Column("prediction", sa.String, nullable=False),
        sa.Column("outcome", sa.String, nullable=False),
        sa.UniqueConstraint(
            "model", "model_version", "variant", "groups", "prediction", "outcome", name="window_cell_is_one"
        ),
    )
    op.create_table(
        "window_count",
        sa.Column("cell", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("bucket_start", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("seconds", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("n", sa.BigInteger, nullable=False),
        sa.Column("value_sum", sa.Float, nullable=False),
        sa.Column("value_sum_squares", sa.Float, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "window_label",
        sa.Column("model", sa.String, primary_key=True),
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String, primary_key=True),
        sa.Column("label", sa.String, primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "window_state",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    for windows in ("window_state", "window_label", "window_count", "window_cell"):
        op.drop_table(windows)
    for table in ("orphan", "caller_attribute", "unit_attribute"):
        op.drop_table(table)
    op.drop_index("prediction_by_unit", "prediction")
