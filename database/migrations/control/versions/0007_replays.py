"""Replays: versions compared on logged traffic, those that wait for their turn among them."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "replay",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("challenger_version", sa.String, nullable=False),
        sa.Column("challenger_digest", sa.String),
        sa.Column("against_version", sa.String, nullable=False),
        sa.Column("against_digest", sa.String),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("progress", sa.Float, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("reason", sa.String),
        sa.Column("actor", sa.String, nullable=False),
        sa.Column("request", sa.JSON, nullable=False),
        sa.Column("verdict", sa.String),
        sa.Column("rows", sa.Integer),
        sa.Column("result", sa.JSON),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("touched_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
    )
    op.create_index("replays_of_model", "replay", ["model", "created_at"])
    op.create_index("replays_by_state", "replay", ["state"])


def downgrade() -> None:
    op.drop_table("replay")
