"""Serving state and rollouts."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "serving_state",
        sa.Column("model", sa.String, primary_key=True),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("champion_version", sa.String),
        sa.Column("champion_digest", sa.String),
        sa.Column("challenger_version", sa.String),
        sa.Column("challenger_digest", sa.String),
        sa.Column("weight_bp", sa.Integer, nullable=False),
        sa.Column("salt", sa.String, nullable=False),
        sa.Column("rollout_id", sa.String),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "rollout",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("champion_version", sa.String, nullable=False),
        sa.Column("challenger_version", sa.String, nullable=False),
        sa.Column("weight_bp", sa.Integer, nullable=False),
        sa.Column("salt", sa.String, nullable=False),
        sa.Column("plan", sa.JSON, nullable=False),
        sa.Column("reason", sa.String),
        sa.Column("created_by", sa.String, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
    )
    op.create_index(
        "one_active_rollout_per_model",
        "rollout",
        ["model"],
        unique=True,
        sqlite_where=sa.text("finished_at IS NULL"),
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_table(
        "deployment_salt",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("salt", sa.String, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("deployment_salt")
    op.drop_index("one_active_rollout_per_model", table_name="rollout")
    op.drop_table("rollout")
    op.drop_table("serving_state")
