"""Bias tests and data sets."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "bias_test",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("test_type", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("progress", sa.Float, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("reason", sa.String),
        sa.Column("user_id", sa.String, nullable=False),
        sa.Column("model", sa.String),
        sa.Column("model_version", sa.String),
        sa.Column("dataset_id", sa.String),
        sa.Column("verdict", sa.String),
        sa.Column("overall_risk", sa.String),
        sa.Column("metrics_passed", sa.Integer, nullable=False),
        sa.Column("metrics_failed", sa.Integer, nullable=False),
        sa.Column("summary", sa.String, nullable=False),
        sa.Column("rows", sa.Integer),
        sa.Column("result", sa.JSON),
        sa.Column("record", sa.JSON),
        sa.Column("details", sa.JSON, nullable=False),
        sa.Column("request", sa.LargeBinary),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("touched_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
    )
    op.create_index("bias_tests_by_time", "bias_test", ["created_at"])
    op.create_index("bias_tests_of_model", "bias_test", ["model", "created_at"])
    op.create_index("bias_tests_by_state", "bias_test", ["state"])
    op.create_table(
        "data_set",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("filename", sa.String, nullable=False),
        sa.Column("user_id", sa.String, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("columns", sa.JSON, nullable=False),
        sa.Column("fingerprint", sa.String, nullable=False),
        sa.Column("uploaded_bytes", sa.Integer, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("data_sets_by_name", "data_set", ["name", "created_at"])


def downgrade() -> None:
    op.drop_table("data_set")
    op.drop_table("bias_test")
