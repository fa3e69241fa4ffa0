"""Counts of drift: the profile a version's traffic is counted over, and the counts per hour."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "drift_profile",
        sa.Column("model", sa.String, primary_key=True),
        sa.Column("model_version", sa.String, primary_key=True),
        sa.Column("profile", sa.Text, nullable=False),
    )
    op.create_table(
        "drift_count",
        sa.Column("model", sa.String, primary_key=True),
        sa.Column("model_version", sa.String, primary_key=True),
        sa.Column("variant", sa.String, primary_key=True),
        sa.Column("hour", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("part", sa.String, primary_key=True),
        sa.Column("feature", sa.String, primary_key=True),
        sa.Column("counts", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    for table in ("drift_count", "drift_profile"):
        op.drop_table(table)
