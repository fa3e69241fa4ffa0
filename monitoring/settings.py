"""Settings of the prediction log and of drift."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from monitoring.drift_policy import DriftPolicy


def _number(value: Any) -> Any:
    """Return what a variable says as the number it is, for a choice between numbers takes no text."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


class MonitoringSettings(BaseSettings):
    """How predictions are kept."""

    model_config = SettingsConfigDict(env_prefix="FAIRMIND_MONITORING_", use_attribute_docstrings=True)

    spool_bytes: int = Field(default=2_000_000_000, ge=1_000_000)
    """Most bytes of the local log that may wait for the database, and most that may then wait for the files of
    features; at least two segments."""

    segment_bytes: int = Field(default=16_000_000, ge=10_000)
    """Size at which a worker closes a segment of the log and begins the next."""

    segment_seconds: float = Field(default=60, ge=1)
    """Age at which a worker closes a segment of the log, also one that nothing is added to: about so old are
    features when they are archived."""

    on_full: Literal["refuse", "serve"] = "refuse"
    """What a worker does when the spool is full or cannot be written: refuse with 503, or serve and count the rows
    as lost."""

    ship_seconds: float = Field(default=0.1, gt=0)
    """Pause between two looks of the shipper at the spool. Longer pauses cost less in all, and make longer bursts
    of work, in which cores that are threads of one another serve slower: the tail of latencies grows with them."""

    bucket_seconds: Annotated[Literal[60, 300, 600, 900, 1800, 3600], BeforeValidator(_number)] = 300
    """Length of the time buckets in which live traffic is counted; after a day they are merged into hours, after a
    week into days."""

    most_groups: int = Field(default=500, ge=1, le=10_000)
    """Combinations of protected attributes' groups that are counted apart, per model and day; the rest is counted
    together, and bias tests say so."""

    bias_window_hours: float = Field(default=24, gt=0, le=24 * 365)
    """How far back the bias gauges of `/metrics` look."""

    bias_minimum_rows: int = Field(default=30, ge=1)
    """Groups with fewer predictions in that window have no gauge."""
    features_uri: str | None = None
    """Where features are archived as Parquet files: a folder, or the URI of one, such as `s3://bucket/prefix`. Keys
    and addresses of an object store are taken from the environment, as its own clients do. Unset:
    `FAIRMIND_HOME/features`."""

    features_share: float = Field(default=1.0, ge=0, le=1)
    """Share of requests whose features are kept, drawn by request. Predictions are always kept, so that no analysis
    of them changes."""

    redacted_features: Annotated[dict[str, list[str]], NoDecode] = Field(default={})
    """Features that are written nowhere, by model as JSON: `{"credit": ["ssn"], "*": ["name"]}`; `*` is every
    model."""

    retention_days: float | None = Field(default=None, gt=0)
    """How many days predictions are kept. Unset: for ever."""

    protected_retention_days: float | None = Field(default=None, gt=0)
    """How many days protected attributes are kept, also where predictions are for longer. Unset: as long as
    predictions."""

    outcome_retention_days: float | None = Field(default=None, gt=0)
    """How many days outcomes are kept from when they were received. Unset: as long as predictions."""

    features_retention_days: float | None = Field(default=None, gt=0)
    """How many days the files of features are kept. Unset: as long as predictions."""

    features_bytes: int | None = Field(default=None, gt=0)
    """Most bytes of all files of features; the oldest go first. Unset: no bound."""

    log_bytes: int | None = Field(default=None, ge=10_000_000)
    """Most bytes of the embedded database of the log; the oldest predictions go first, with all that is theirs.
    Unset: no bound. A database server is bounded by age."""

    @field_validator("redacted_features", mode="before")
    @classmethod
    def _from_json(cls, value: Any) -> Any:
        """Read JSON here: the settings library's own error would quote it."""
        if not isinstance(value, str):
            return value
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            raise ValueError('it takes JSON such as {"credit": ["ssn"], "*": ["name"]}') from None

    @model_validator(mode="after")
    def _has_room_for_two_segments(self) -> Self:
        """Refuse a bound that one segment reaches: what is shipped of it would count until it is closed."""
        if self.spool_bytes < 2 * self.segment_bytes:
            raise ValueError(
                "FAIRMIND_MONITORING_SPOOL_BYTES must be at least twice FAIRMIND_MONITORING_SEGMENT_BYTES "
                f"({self.segment_bytes:,})"
            )
        return self


class DriftSettings(BaseSettings, DriftPolicy):
    """What counts as drift in live traffic."""

    model_config = SettingsConfigDict(
        env_prefix="FAIRMIND_MONITORING_DRIFT_", use_attribute_docstrings=True, frozen=True
    )

    window_hours: int = Field(default=24, ge=1, le=24 * 366)
    """Length of the window that `/metrics` shows, and of that of `/api/v1/drift` where none is named."""
