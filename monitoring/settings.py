"""Settings of the prediction log."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class MonitoringSettings(BaseSettings):
    """How predictions are kept."""

    model_config = SettingsConfigDict(env_prefix="FAIRMIND_MONITORING_", use_attribute_docstrings=True)

    spool_bytes: int = Field(default=2_000_000_000, ge=1_000_000)
    """Most bytes of the local log that may wait for the database."""

    segment_bytes: int = Field(default=16_000_000, ge=10_000)
    """Size at which a worker closes a segment of the log and begins the next."""

    on_full: Literal["refuse", "serve"] = "refuse"
    """What a worker does when the spool is full: refuse with 503, or serve and count the rows as lost."""

    ship_seconds: float = Field(default=0.2, gt=0)
    """Pause between two looks of the shipper at the spool."""
