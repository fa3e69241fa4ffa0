"""The tables of bias tests and of the data sets they are run on."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, Index, Integer, LargeBinary, MetaData, String, Table

from database.types import UtcDateTime

METADATA = MetaData()

BIAS_TEST = Table(
    "bias_test",
    METADATA,
    Column("id", String, primary_key=True),
    Column("test_type", String, nullable=False),
    Column("state", String, nullable=False),
    Column("progress", Float, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("reason", String),
    Column("user_id", String, nullable=False),
    Column("model", String),
    Column("model_version", String),
    Column("dataset_id", String),
    Column("verdict", String),
    Column("overall_risk", String),
    Column("metrics_passed", Integer, nullable=False),
    Column("metrics_failed", Integer, nullable=False),
    Column("summary", String, nullable=False),
    Column("rows", Integer),
    Column("result", JSON),
    Column("record", JSON),
    Column("details", JSON, nullable=False),
    Column("request", LargeBinary),
    Column("created_at", UtcDateTime, nullable=False),
    Column("touched_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Index("bias_tests_by_time", "created_at"),
    Index("bias_tests_of_model", "model", "created_at"),
    Index("bias_tests_by_state", "state"),
)
"""One row per test, whoever ran it.

`result` is what our engine answered (`assessment.result`), `record` the same, or what somebody else measured, in
the words of FairMind (`assessment.fairmind`). `request` is there only while the test waits or runs: what is needed
to begin it again. `touched_at` is renewed while it runs.
"""

DATA_SET = Table(
    "data_set",
    METADATA,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("filename", String, nullable=False),
    Column("user_id", String, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("columns", JSON, nullable=False),
    Column("fingerprint", String, nullable=False),
    Column("uploaded_bytes", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index("data_sets_by_name", "name", "created_at"),
)
"""What was uploaded; the rows are in a Parquet file of the id's name. `columns` maps names to types, in order."""
