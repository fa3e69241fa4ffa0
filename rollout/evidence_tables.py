"""The tables of rollouts in the prediction log: which unit was counted, and the counts that evidence is made of."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, Index, Integer, String, Table, text

from database.types import UtcDateTime
from monitoring.tables import METADATA

ROLLOUT_UNIT = Table(
    "rollout_unit",
    METADATA,
    Column("rollout_id", String, primary_key=True),
    Column("unit", String, primary_key=True),
    Column("arm", String, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("prediction_id", String),
    Column("first_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime),
    Column("completed", Boolean, nullable=False),
    Column("crossed", Boolean, nullable=False),
    Column("seen_epoch", Integer, nullable=False),
    Column("seen_arm", String, nullable=False),
    Index(
        "rollout_unit_by_due_at",
        "rollout_id",
        "due_at",
        sqlite_where=text("due_at IS NOT NULL"),
        postgresql_where=text("due_at IS NOT NULL"),
    ),
    sqlite_with_rowid=False,
)
"""A row per unit that a rollout compared: the one prediction that is analysed, and in which arm and epoch.

`unit` is the unit's hash, or where requests are analysed the prediction's id. `due_at` is when its outcome is
looked for, null before there is a prediction to look for, after it was looked for, and where no guardrail wants it.
`prediction_id` is null while all that is known of the unit is a repeat. `seen_epoch` and `seen_arm` are those of
its newest exposure; in a second arm of one epoch the unit is `crossed`.
"""

ROLLOUT_PAIR = Table(
    "rollout_pair",
    METADATA,
    Column("rollout_id", String, primary_key=True),
    Column("unit", String, primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("prediction_id", String, nullable=False),
    Column("first_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime),
    Column("status", String, nullable=False),
    Column("champion_prediction", JSON, nullable=False),
    Column("champion_score", Float),
    Column("challenger_prediction", JSON, nullable=False),
    Column("challenger_score", Float),
    Index(
        "rollout_pair_by_due_at",
        "rollout_id",
        "due_at",
        sqlite_where=text("due_at IS NOT NULL"),
        postgresql_where=text("due_at IS NOT NULL"),
    ),
    sqlite_with_rowid=False,
)
"""A row per unit of which two versions scored one row: the first such row, and both answers until it is due."""

ROLLOUT_CELL = Table(
    "rollout_cell",
    METADATA,
    Column("rollout_id", String, primary_key=True),
    Column("guardrail", String, primary_key=True),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("arm", String, primary_key=True),
    Column("part", String, primary_key=True),
    Column("group", String, primary_key=True),
    Column("n", BigInteger, nullable=False),
    Column("total", Float, nullable=False),
    Column("squares", Float, nullable=False),
    sqlite_with_rowid=False,
)
"""Observations of a guardrail (`rollout.evidence.Cell`) by the epoch of the serving state at that time."""

ROLLOUT_COUNT = Table(
    "rollout_count",
    METADATA,
    Column("rollout_id", String, primary_key=True),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("arm", String, primary_key=True),
    Column("attribute", String, primary_key=True),
    Column("group", String, primary_key=True),
    Column("assigned", BigInteger, nullable=False),
    Column("completed", BigInteger, nullable=False),
    Column("due", BigInteger, nullable=False),
    Column("labelled", BigInteger, nullable=False),
    Column("crossed", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""Distinct units (`rollout.evidence.UnitCount`); `attribute` and `group` are empty in the counts over all groups,
where alone `crossed` is counted."""

ROLLOUT_WATERMARK = Table(
    "rollout_watermark",
    METADATA,
    Column("rollout_id", String, primary_key=True),
    Column("served_at", UtcDateTime, nullable=False),
)
"""When the newest row was served that a rollout's evidence knows of."""
