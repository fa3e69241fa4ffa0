"""The tables of drift in the prediction log, and vectors of counts as they are kept there."""

from __future__ import annotations

import zlib

import numpy as np
from sqlalchemy import BigInteger, Column, LargeBinary, String, Table, Text

from database.types import UtcDateTime
from monitoring.drift_statistics import Counts
from monitoring.tables import METADATA

DRIFT_PROFILE = Table(
    "drift_profile",
    METADATA,
    Column("model", String, primary_key=True),
    Column("model_version", String, primary_key=True),
    Column("profile", Text, nullable=False),
)
"""The profile over whose cells a version's traffic is counted; never changed, or the counts would mean nothing."""

DRIFT_COUNT = Table(
    "drift_count",
    METADATA,
    Column("model", String, primary_key=True),
    Column("model_version", String, primary_key=True),
    Column("variant", String, primary_key=True),
    Column("hour", UtcDateTime, primary_key=True),
    Column("part", String, primary_key=True),
    Column("feature", String, primary_key=True),
    Column("counts", LargeBinary, nullable=False),
)
"""Counts of the rows served in an hour. `part` is rows, feature, prediction or score; `variant` is empty for rows
asked for by version."""

REFUSAL_COUNT = Table(
    "refusal_count",
    METADATA,
    Column("model", String, primary_key=True),
    Column("hour", UtcDateTime, primary_key=True),
    Column("code", String, primary_key=True),
    Column("requests", BigInteger, nullable=False),
)
"""Requests that were refused in an hour for a row that does not fit the signature, by what was wrong with it."""


def packed(counts: Counts) -> bytes:
    """Return counts of any shape in a few bytes: most are 0."""
    return zlib.compress(np.ascontiguousarray(counts, dtype="<i8").tobytes(), level=1)


def unpacked(content: bytes) -> Counts:
    """Return packed counts as a vector."""
    return np.frombuffer(zlib.decompress(content), dtype="<i8").astype(np.int64)
