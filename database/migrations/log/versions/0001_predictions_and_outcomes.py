"""Predictions, protected attributes and outcomes."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "segment",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("offset", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "prediction",
        sa.Column("prediction_id", sa.String, primary_key=True),
        sa.Column("request_id", sa.String, nullable=False),
        sa.Column("served_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("model_version", sa.String, nullable=False),
        sa.Column("variant", sa.String),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("rollout_id", sa.String),
        sa.Column("protocol", sa.String, nullable=False),
        sa.Column("unit_hash", sa.String),
        sa.Column("cohort", sa.String),
        sa.Column("caller_id", sa.String),
        sa.Column("prediction", sa.JSON, nullable=False),
        sa.Column("score", sa.Float),
        sa.Column("latency_us", sa.Integer, nullable=False),
    )
    op.create_index("prediction_by_model_and_time", "prediction", ["model", "served_at"])
    op.create_index("prediction_by_caller_id", "prediction", ["model", "caller_id"])
    op.create_table(
        "feature_block",
        sa.Column("request_id", sa.String, primary_key=True),
        sa.Column("model_version", sa.String, primary_key=True),
        sa.Column("variant", sa.String, primary_key=True),
        sa.Column("positions", sa.JSON, nullable=False),
        sa.Column("features", sa.JSON, nullable=False),
    )
    op.create_table(
        "protected_attribute",
        sa.Column("prediction_id", sa.String, primary_key=True),
        sa.Column("attribute", sa.String, primary_key=True),
        sa.Column("value", sa.String),
    )
    op.create_table(
        "outcome",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("prediction_id", sa.String),
        sa.Column("model", sa.String),
        sa.Column("caller_id", sa.String),
        sa.Column("outcome", sa.JSON, nullable=False),
        sa.Column("observed_at", sa.DateTime(timezone=True)),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("outcome_by_prediction", "outcome", ["prediction_id"])
    op.create_index("outcome_by_caller_id", "outcome", ["model", "caller_id"])


def downgrade() -> None:
    for table in ("outcome", "protected_attribute", "feature_block", "prediction", "segment"):
        op.drop_table(table)
