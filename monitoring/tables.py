"""The tables of the prediction log."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    false,
    text,
)

from database.types import UtcDateTime

METADATA = MetaData()

SEGMENT = Table(
    "segment",
    METADATA,
    Column("name", String, primary_key=True),
    Column("offset", BigInteger, nullable=False),
)
"""How far each segment of the spool has been shipped; written in the transaction that inserts its rows, and gone in
the one that registers the files with its features: without a row, a segment that was shipped is archived too."""

PREDICTION = Table(
    "prediction",
    METADATA,
    Column("prediction_id", String, primary_key=True),
    Column("request_id", String, nullable=False),
    Column("served_at", UtcDateTime, nullable=False),
    Column("model", String, nullable=False),
    Column("model_version", String, nullable=False),
    Column("variant", String),
    Column("epoch", Integer, nullable=False),
    Column("rollout_id", String),
    Column("protocol", String, nullable=False),
    Column("unit_hash", String),
    Column("cohort", String),
    Column("caller_id", String),
    Column("prediction", JSON, nullable=False),
    Column("score", Float),
    Column("latency_us", Integer, nullable=False),
    Column("is_repeat", Boolean, nullable=False, server_default=false()),
    Column("status", String, nullable=False, server_default="ok"),
    Index("prediction_by_model_and_time", "model", "served_at"),
    Index(
        "prediction_by_caller_id",
        "model",
        "caller_id",
        sqlite_where=text("caller_id IS NOT NULL"),  # most rows have none, and need no entry
        postgresql_where=text("caller_id IS NOT NULL"),
    ),
    Index(
        "prediction_by_unit",
        "unit_hash",
        sqlite_where=text("unit_hash IS NOT NULL"),
        postgresql_where=text("unit_hash IS NOT NULL"),
    ),
)
"""A row per prediction of a record that is not bulk. `is_repeat`: the caller's id was there less than 24 hours
before (`monitoring.repeats`), so that no analysis counts the row. Request ids are UUIDv7: ids sort by time too."""

BULK_BLOCK = Table(
    "bulk_block",
    METADATA,
    Column("request_id", String, primary_key=True),
    Column("model_version", String, primary_key=True),
    Column("variant", String, primary_key=True),
    Column("served_at", UtcDateTime, nullable=False),
    Column("model", String, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("rollout_id", String),
    Column("protocol", String, nullable=False),
    Column("latency_us", Integer, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("protected", LargeBinary),
    Index("bulk_block_by_model_and_time", "model", "served_at"),
)
"""A row per bulk record: positions, predictions, scores, units and cohorts packed (`monitoring.bulk_blocks`), and
the protected attributes by themselves, which may be kept for another time. `variant` is empty where the version was
asked for by number."""

FEATURE_FILE = Table(
    "feature_file",
    METADATA,
    Column("path", String, primary_key=True),
    Column("model", String, nullable=False),
    Column("model_version", String, nullable=False),
    Column("level", Integer, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("first_served_at", UtcDateTime, nullable=False),
    Column("last_served_at", UtcDateTime, nullable=False),
    Column("remove_at", UtcDateTime),
    Index("feature_file_by_model_and_time", "model", "last_served_at"),
)
"""Parquet files with features; `path` is relative to the feature store. `level` counts how often a file's rows were
merged. A file with `remove_at` is none: it goes when that time has come, and whoever reads it until then may."""

FEATURE_BLOCK = Table(
    "feature_block",
    METADATA,
    Column("request_id", String, primary_key=True),
    Column("model_version", String, primary_key=True),
    Column("variant", String, primary_key=True),
    Column("positions", JSON, nullable=False),
    Column("features", JSON, nullable=False),
)
"""Features as releases before the feature store kept them; read with its files, and no longer written."""

PROTECTED_ATTRIBUTE = Table(
    "protected_attribute",
    METADATA,
    Column("prediction_id", String, primary_key=True),
    Column("attribute", String, primary_key=True),
    Column("value", String),
    sqlite_with_rowid=False,  # which saves a second tree: 2.5 µs per prediction with two attributes
)

OUTCOME = Table(
    "outcome",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("prediction_id", String),
    Column("model", String),
    Column("caller_id", String),
    Column("outcome", JSON, nullable=False),
    Column("observed_at", UtcDateTime),
    Column("received_at", UtcDateTime, nullable=False),
    Index("outcome_by_prediction", "prediction_id"),
    Index("outcome_by_caller_id", "model", "caller_id"),
)
"""Every outcome that said something new, corrections too: of those of a prediction the one received last counts."""

EXPOSURE = Table(
    "exposure",
    METADATA,
    Column("prediction_id", String, primary_key=True),
    Column("rollout_id", String),
    Column("epoch", Integer, nullable=False),
    Column("cohort", String, nullable=False),
    Column("variant", String),
    Column("model", String, nullable=False),
    Column("model_version", String, nullable=False),
    Column("unit_hash", String),
    Column("served_at", UtcDateTime, nullable=False),
    Column("status", String),
    Column("latency_us", Integer),
    Index("exposure_by_rollout_and_unit", "rollout_id", "unit_hash"),
    Index("exposure_by_model_and_time", "model", "served_at"),
)
"""A row per row of a request that a variant was given while its unit was compared, answered or not.

`status` is `ok` for an answer, else why there is none; null while nobody knows: the model still runs, or its worker
died. The row is written from what the worker logged before the model ran; `served_at` says when.
"""

UNIT_ATTRIBUTE = Table(
    "unit_attribute",
    METADATA,
    Column("unit_hash", String, primary_key=True),
    Column("attribute", String, primary_key=True),
    Column("value", String),
)
"""Protected attributes of units, for every prediction of theirs; what a prediction has of its own comes first."""

CALLER_ATTRIBUTE = Table(
    "caller_attribute",
    METADATA,
    Column("model", String, primary_key=True),
    Column("caller_id", String, primary_key=True),
    Column("attribute", String, primary_key=True),
    Column("value", String),
)
"""Protected attributes that were told by a caller's id, for the rows of that id that are shipped later."""

ORPHAN = Table(
    "orphan",
    METADATA,
    Column("model", String, primary_key=True),
    Column("name", String, primary_key=True),
)
"""What outcomes and attributes call predictions that are not there yet: '' and its id, or model and caller's id."""

WINDOW_CELL = Table(
    "window_cell",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("model", String, nullable=False),
    Column("model_version", String, nullable=False),
    Column("variant", String, nullable=False),
    Column("groups", String, nullable=False),
    Column("prediction", String, nullable=False),
    Column("outcome", String, nullable=False),
    UniqueConstraint(
        "model", "model_version", "variant", "groups", "prediction", "outcome", name="window_cell_is_one"
    ),
)
"""What predictions that are counted together have in common (`monitoring.window_cells`)."""

WINDOW_COUNT = Table(
    "window_count",
    METADATA,
    Column("cell", Integer, primary_key=True, autoincrement=False),
    Column("bucket_start", Integer, primary_key=True, autoincrement=False),
    Column("seconds", Integer, primary_key=True, autoincrement=False),
    Column("n", BigInteger, nullable=False),
    Column("value_sum", Float, nullable=False),
    Column("value_sum_squares", Float, nullable=False),
    sqlite_with_rowid=False,
)
"""How many predictions of a cell were served in a bucket, which begins `bucket_start` seconds after 1970.

A cell's buckets stand together, so that a window is read without sorting. Counts of disjoint rows add up. The sums
are over predictions that are numbers and have no score: those of regressors.
"""

WINDOW_LABEL = Table(
    "window_label",
    METADATA,
    Column("model", String, primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("kind", String, primary_key=True),
    Column("label", String, primary_key=True),
    sqlite_with_rowid=False,
)
"""The groups, predictions and outcomes of a model and day (since 1970) that are told apart from all others."""

WINDOW_STATE = Table(
    "window_state",
    METADATA,
    Column("name", String, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""What every process that counts has to agree on (`monitoring.window_buckets`)."""
