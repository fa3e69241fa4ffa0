"""Serving states of several challengers, of shadow traffic and of a soak, and who answers rows without a unit."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("serving_state", sa.Column("others", sa.JSON))
    op.add_column("serving_state", sa.Column("shadow_bp", sa.Integer, nullable=False, server_default="0"))
    op.add_column("serving_state", sa.Column("holdback_bp", sa.Integer))
    op.add_column(
        "serving_state", sa.Column("on_missing_key", sa.String, nullable=False, server_default="champion")
    )


def downgrade() -> None:
    for column in ("on_missing_key", "holdback_bp", "shadow_bp", "others"):
        op.drop_column("serving_state", column)
