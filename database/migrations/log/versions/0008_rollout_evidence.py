"""Evidence of rollouts: the units that were counted, and the counts."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "rollout_unit",
        sa.Column("rollout_id", sa.String, primary_key=True),
        sa.Column("unit", sa.String, primary_key=True),
        sa.Column("arm", sa.String, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("prediction_id", sa.String),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True)),
        sa.Column("completed", sa.Boolean, nullable=False),
        sa.Column("crossed", sa.Boolean, nullable=False),
        sa.Column("seen_epoch", sa.Integer, nullable=False),
        sa.Column("seen_arm", sa.String, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rollout_pair",
        sa.Column("rollout_id", sa.String, primary_key=True),
        sa.Column("unit", sa.String, primary_key=True),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("prediction_id", sa.String, nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True)),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("champion_prediction", sa.JSON, nullable=False),
        sa.Column("champion_score", sa.Float),
        sa.Column("challenger_prediction", sa.JSON, nullable=False),
        sa.Column("challenger_score", sa.Float),
        sqlite_with_rowid=False,
    )
    for table in ("rollout_unit", "rollout_pair"):
        op.create_index(
            f"{table}_by_due_at",
            table,
            ["rollout_id", "due_at"],
            sqlite_where=sa.text("due_at IS NOT NULL"),
            postgresql_where=sa.text("due_at IS NOT NULL"),
        )
    op.create_table(
        "rollout_cell",
        sa.Column("rollout_id", sa.String, primary_key=True),
        sa.Column("guardrail", sa.String, primary_key=True),
        sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("arm", sa.String, primary_key=True),
        sa.Column("part", sa.String, primary_key=True),
        sa.Column("group", sa.String, primary_key=True),
        sa.Column("n", sa.BigInteger, nullable=False),
        sa.Column("total", sa.Float, nullable=False),
        sa.Column("squares", sa.Float, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rollout_count",
        sa.Column("rollout_id", sa.String, primary_key=True),
        sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("arm", sa.String, primary_key=True),
        sa.Column("attribute", sa.String, primary_key=True),
        sa.Column("group", sa.String, primary_key=True),
        *(
            sa.Column(name, sa.BigInteger, nullable=False)
            for name in ("assigned", "completed", "due", "labelled", "crossed")
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rollout_watermark",
        sa.Column("rollout_id", sa.String, primary_key=True),
        sa.Column("served_at", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    for table in ("rollout_watermark", "rollout_count", "rollout_cell", "rollout_pair", "rollout_unit"):
        op.drop_table(table)
