"""The tables of the prediction log."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Float, Index, Integer, MetaData, String, Table

from database.types import UtcDateTime

METADATA = MetaData()

SEGMENT = Table(
    "segment",
    METADATA,
    Column("name", String, primary_key=True),
    Column("offset", BigInteger, nullable=False),
)
"""How far each segment of the spool has been shipped; written in the transaction that inserts its rows."""

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
    Index("prediction_by_model_and_time", "model", "served_at"),
    Index("prediction_by_caller_id", "model", "caller_id"),
)

FEATURE_BLOCK = Table(
    "feature_block",
    METADATA,
    Column("request_id", String, primary_key=True),
    Column("model_version", String, primary_key=True),
    Column("variant", String, primary_key=True),
    Column("positions", JSON, nullable=False),
    Column("features", JSON, nullable=False),
)

PROTECTED_ATTRIBUTE = Table(
    "protected_attribute",
    METADATA,
    Column("prediction_id", String, primary_key=True),
    Column("attribute", String, primary_key=True),
    Column("value", String),
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
