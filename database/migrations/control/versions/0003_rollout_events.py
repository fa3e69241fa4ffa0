"""What was done to a rollout and by whom. Of the rollouts there are, who started them is known."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    event = op.create_table(
        "rollout_event",
        sa.Column("rollout_id", sa.String, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("weight_bp", sa.Integer, nullable=False),
        sa.Column("actor", sa.String, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.String),
    )
    rollout = sa.table(
        "rollout",
        sa.column("id", sa.String),
        sa.column("plan", sa.JSON),
        sa.column("created_by", sa.String),
        sa.column("created_at", sa.DateTime(timezone=True)),
    )
    started = [
        {
            "rollout_id": row.id,
            "number": 1,
            "action": "started",
            "state": "canary",
            "weight_bp": round(row.plan["steps"][0]["weight"] * 10_000),
            "actor": row.created_by,
            "at": row.created_at,
            "reason": None,
        }
        for row in op.get_bind().execute(sa.select(rollout))
    ]
    if started:
        op.bulk_insert(event, started)


def downgrade() -> None:
    op.drop_table("rollout_event")
