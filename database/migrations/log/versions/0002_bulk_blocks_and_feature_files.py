"""Bulk requests as one row, features as files, repeats of a caller's id marked.

`feature_block` stays as it is: what older releases wrote into it is read with the files until it is too old.
"""

from datetime import timedelta

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    with op.batch_alter_table("prediction") as prediction:
        prediction.add_column(sa.Column("is_repeat", sa.Boolean, nullable=False, server_default=sa.false()))
    op.drop_index("prediction_by_caller_id", "prediction")
    given = sa.text("caller_id IS NOT NULL")
    op.create_index(
        "prediction_by_caller_id", "prediction", ["model", "caller_id"], sqlite_where=given, postgresql_where=given
    )
    _mark_repeats()
    op.create_table(
        "bulk_block",
        sa.Column("request_id", sa.String, primary_key=True),
        sa.Column("model_version", sa.String, primary_key=True),
        sa.Column("variant", sa.String, primary_key=True),
        sa.Column("served_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("rollout_id", sa.String),
        sa.Column("protocol", sa.String, nullable=False),
        sa.Column("latency_us", sa.Integer, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("protected", sa.LargeBinary),
    )
    op.create_index("bulk_block_by_model_and_time", "bulk_block", ["model", "served_at"])
    op.create_table(
        "feature_file",
        sa.Column("path", sa.String, primary_key=True),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("model_version", sa.String, nullable=False),
        sa.Column("level", sa.Integer, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("first_served_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_served_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("remove_at", sa.DateTime(timezone=True)),
    )
    op.create_index("feature_file_by_model_and_time", "feature_file", ["model", "last_served_at"])


def downgrade() -> None:
    op.drop_table("feature_file")
    op.drop_table("bulk_block")
    op.drop_index("prediction_by_caller_id", "prediction")
    op.create_index("prediction_by_caller_id", "prediction", ["model", "caller_id"])
    with op.batch_alter_table("prediction") as prediction:
        prediction.drop_column("is_repeat")


def _mark_repeats() -> None:
    """Mark the rows whose caller's id was there less than 24 hours before, as shipping does from now on."""
    table = sa.table(
        "prediction",
        *map(sa.column, ("prediction_id", "model", "caller_id", "variant", "is_repeat")),
        sa.column("served_at", sa.DateTime(timezone=True)),
    )
    columns = table.c
    connection = op.get_bind()
    found = connection.execute(
        sa.select(columns.prediction_id, columns.model, columns.caller_id, columns.served_at)
        .where(columns.caller_id.is_not(None), columns.variant.is_not(None))
        .order_by(columns.model, columns.caller_id, columns.served_at, columns.prediction_id)
    )
    repeats = []
    first = None
    for row in found:
        if first is not None and (row.model, row.caller_id) == (first.model, first.caller_id):
            if row.served_at - first.served_at < timedelta(hours=24):
                repeats.append({"repeat": row.prediction_id})
                continue
        first = row
    if repeats:
        marked = table.update().where(columns.prediction_id == sa.bindparam("repeat")).values(is_repeat=sa.true())
        connection.execute(marked, repeats)
