"""The control tables: what serves, and the rollouts that change it."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, Index, Integer, MetaData, String, Table, text

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
    Column("challengers", JSON),
    Column("plan_hash", String),
    Column("plan_version", Integer, nullable=False, server_default="1"),
    Column("step_index", Integer, nullable=False, server_default="0"),
    Column("step_entered_at", UtcDateTime),
    Column("paused_from", String),
    Column("held", JSON),
    Column("accepted", JSON),
    Column("approved_by", String),
    Column("overridden", String),
    Column("errors", Integer, nullable=False, server_default="0"),
    Index(
        "one_active_rollout_per_model",
        "model",
        unique=True,
        sqlite_where=text("finished_at IS NULL"),
        postgresql_where=text("finished_at IS NULL"),
    ),
)
"""Rollouts. `challengers` are the versions after the first, with their digests; `held` are the holds of a pause,
none where a person asked for it, and `accepted` the kinds of those that a person went on in spite of."""

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
    Column("from_state", String),
    Column("step_index", Integer),
    Column("evaluation_id", String),
    Column("previous_hash", String),
    Column("hash", String),
)
"""What was done to each rollout and by whom; `number` is the rollout's version after it.

`hash` chains it to the event before (`rollout.history`); events of before there was a chain have none.
"""

ROLLOUT_EPOCH = Table(
    "rollout_epoch",
    METADATA,
    Column("rollout_id", String, primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("step_index", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("weight_bp", Integer, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)
"""Which step of a rollout each epoch of the serving state belongs to, whatever a slow worker stamps later."""

EVALUATION = Table(
    "evaluation",
    METADATA,
    Column("id", String, primary_key=True),
    Column("rollout_id", String, nullable=False),
    Column("number", Integer, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("state", String, nullable=False),
    Column("step_index", Integer, nullable=False),
    Column("evaluation", JSON, nullable=False),
    Column("inputs", JSON, nullable=False),
    Column("code_version", String, nullable=False),
    Index("evaluation_of_rollout", "rollout_id", "number", unique=True),
)
"""What each look at a rollout's evidence found, with the evidence; `id` is made of the content."""

LEASE = Table(
    "lease",
    METADATA,
    Column("name", String, primary_key=True),
    Column("holder", String, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
)
"""Who may act in the name of all replicas; `fence` grows with every change of the holder."""

OUTBOX = Table(
    "outbox",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("key", String, nullable=False, unique=True),
    Column("kind", String, nullable=False),
    Column("model", String, nullable=False),
    Column("payload", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("done_at", UtcDateTime),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("problem", String),
)
"""What is to be done in the registry, decided with the change it follows from; done at least once."""

DEPLOYMENT_SALT = Table(
    "deployment_salt",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("salt", String, nullable=False),
)
"""One row: the salt under which unit ids are hashed before they are logged."""

REPLAY = Table(
    "replay",
    METADATA,
    Column("id", String, primary_key=True),
    Column("model", String, nullable=False),
    Column("challenger_version", String, nullable=False),
    Column("challenger_digest", String),
    Column("against_version", String, nullable=False),
    Column("against_digest", String),
    Column("since", UtcDateTime, nullable=False),
    Column("until", UtcDateTime, nullable=False),
    Column("state", String, nullable=False),
    Column("progress", Float, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("reason", String),
    Column("actor", String, nullable=False),
    Column("request", JSON, nullable=False),
    Column("verdict", String),
    Column("rows", Integer),
    Column("result", JSON),
    Column("created_at", UtcDateTime, nullable=False),
    Column("touched_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Index("replays_of_model", "model", "created_at"),
    Index("replays_by_state", "state"),
)
"""A row per replay, queued, running, done or failed; written by `replay.store`, and read by whoever asks for one
before a rollout or a promotion. `request` is what was asked, `result` what was found (`replay.result`), `rows` how
many were compared, and `touched_at` is renewed while it runs."""
