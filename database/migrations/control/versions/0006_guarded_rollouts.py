"""Steps, evaluations and chained decisions of rollouts; the controller's lease, and what it does in the registry.

Events that are there already get no hash: a rollout's chain begins with its first event of this release.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def _columns() -> dict[str, list[sa.Column[Any]]]:
    return {
        "rollout": [
            sa.Column("challengers", sa.JSON),
            sa.Column("plan_hash", sa.String),
            sa.Column("plan_version", sa.Integer, nullable=False, server_default="1"),
            sa.Column("step_index", sa.Integer, nullable=False, server_default="0"),
            sa.Column("step_entered_at", sa.DateTime(timezone=True)),
            sa.Column("paused_from", sa.String),
            sa.Column("held", sa.JSON),
            sa.Column("accepted", sa.JSON),
            sa.Column("approved_by", sa.String),
            sa.Column("overridden", sa.String),
            sa.Column("errors", sa.Integer, nullable=False, server_default="0"),
        ],
        "rollout_event": [
            sa.Column("from_state", sa.String),
            sa.Column("step_index", sa.Integer),
            sa.Column("evaluation_id", sa.String),
            sa.Column("previous_hash", sa.String),
            sa.Column("hash", sa.String),
        ],
    }


def upgrade() -> None:
    for table, columns in _columns().items():
        for column in columns:
            op.add_column(table, column)
    op.create_table(
        "rollout_epoch",
        sa.Column("rollout_id", sa.String, primary_key=True),
        sa.Column("epoch", sa.Integer, primary_key=True),
        sa.Column("step_index", sa.Integer, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("weight_bp", sa.Integer, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "evaluation",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("rollout_id", sa.String, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("step_index", sa.Integer, nullable=False),
        sa.Column("evaluation", sa.JSON, nullable=False),
        sa.Column("inputs", sa.JSON, nullable=False),
        sa.Column("code_version", sa.String, nullable=False),
    )
    op.create_index("evaluation_of_rollout", "evaluation", ["rollout_id", "number"], unique=True)
    op.create_table(
        "lease",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("holder", sa.String, nullable=False),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("key", sa.String, nullable=False, unique=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("payload", sa.JSON, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True)),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("problem", sa.String),
    )


def downgrade() -> None:
    for table in ("outbox", "lease", "evaluation", "rollout_epoch"):
        op.drop_table(table)
    for table, columns in _columns().items():
        for column in reversed(columns):
            op.drop_column(table, column.name)
