"""Settings of the prediction log."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class MonitoringSettings(BaseSettings):
    """How predictions are kept."""

    model_config = SettingsConfigDict(env_prefix="FAIRMIND_MONITORING_", use_attribute_docstrings=True)

    spool_bytes: int = Field(default=2_000_000_000, ge=1_000_000)
    """Most bytes of the local log that may wait for the database; at least two segments."""

    segment_bytes: int = Field(default=16_000_000, ge=10_000)
    """Size at which a worker closes a segment of the log and begins the next."""

    on_full: Literal["refuse", "serve"] = "refuse"
    """What a worker does when the spool is full or cannot be written: refuse with 503, or serve and count the rows
    as lost."""

    ship_seconds: float = Field(default=0.1, gt=0)
    """Pause between two looks of the shipper at the spool. Longer pauses cost less in all, and make longer bursts
    of work, in which cores that are threads of one another serve slower: the tail of latencies grows with them."""

    @model_validator(mode="after")
    def _has_room_for_two_segments(self) -> Self:
        """Refuse a bound that one segment reaches: what is shipped of it would count until it is closed."""
        if self.spool_bytes < 2 * self.segment_bytes:
            raise ValueError(
                "FAIRMIND_MONITORING_SPOOL_BYTES must be at least twice FAIRMIND_MONITORING_SEGMENT_BYTES "
                f"({self.segment_bytes:,})"
            )
        return self
