"""Exposures of rollouts, and the status of every record."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("prediction", sa.Column("status", sa.String, nullable=False, server_default="ok"))
    op.create_table(
        "exposure",
        sa.Column("prediction_id", sa.String, primary_key=True),
        sa.Column("rollout_id", sa.String),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("cohort", sa.String, nullable=False),
        sa.Column("variant", sa.String),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("model_version", sa.String, nullable=False),
        sa.Column("unit_hash", sa.String),
        sa.Column("served_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.String),
        sa.Column("latency_us", sa.Integer),
    )
    op.create_index("exposure_by_rollout_and_unit", "exposure", ["rollout_id", "unit_hash"])
    op.create_index("exposure_by_model_and_time", "exposure", ["model", "served_at"])


def downgrade() -> None:
    op.drop_table("exposure")
    op.drop_column("prediction", "status")
