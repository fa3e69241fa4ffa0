"""The control tables: what serves, and the rollouts that change it."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Index, Integer, MetaData, String, Table, text

from database.types import UtcDateTime

METADATA = MetaData()

SERVING_STATE = Table(
    "serving_state",
    METADATA,
    Column("model", String, primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("champion_version", String),
    Column("champion_digest", String),
    Column("challenger_version", String),
    Column("challenger_digest", String),
    Column("weight_bp", Integer, nullable=False),
    Column("salt", String, nullable=False),
    Column("rollout_id", String),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("others", JSON),
    Column("shadow_bp", Integer, nullable=False, server_default="0"),
    Column("holdback_bp", Integer),
    Column("on_missing_key", String, nullable=False, server_default="champion"),
)
"""What serves, one row per model: the one fact that workers follow.

A model that is no longer served keeps its row, without a champion: its epochs go on where they were.
"""

ROLLOUT = Table(
    "rollout",
    METADATA,
    Column("id", String, primary_key=True),
    Column("model", String, nullable=False),
    Column("state", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("champion_version", String, nullable=False),
    Column("challenger_version", String, nullable=False),
    Column("weight_bp", Integer, nullable=False),
    Column("salt", String, nullable=False),
    Column("plan", JSON, nullable=False),
    Column("reason", String),
    Column("created_by", String, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Index(
        "one_active_rollout_per_model",
        "model",
        unique=True,
        sqlite_where=text("finished_at IS NULL"),
        postgresql_where=text("finished_at IS NULL"),
    ),
)

ROLLOUT_EVENT = Table(
    "rollout_event",
    METADATA,
    Column("rollout_id", String, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("action", String, nullable=False),
    Column("state", String, nullable=False),
    Column("weight_bp", Integer, nullable=False),
    Column("actor", String, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("reason", String),
)
"""What was done to each rollout and by whom; `number` is the rollout's version after it."""

DEPLOYMENT_SALT = Table(
    "deployment_salt",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("salt", String, nullable=False),
)
"""One row: the salt under which unit ids are hashed before they are logged."""
