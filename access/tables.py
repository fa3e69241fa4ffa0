"""The table of keys, in the control database."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, MetaData, String, Table

from database.types import UtcDateTime

METADATA = MetaData()

API_KEY = Table(
    "api_key",
    METADATA,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("hash", String, nullable=False),
    Column("requests_per_second", Float),
    Column("created_by", String, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
)
"""One row per key that was ever made: who decided something stays findable when the key is revoked."""
