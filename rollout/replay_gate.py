"""What a plan, or a promotion, asks of a replay before a version serves anybody."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field

from rollout.durations import Duration


class ReplayGate(BaseModel):
    """A stored replay of the very versions that was asked of at least `window`, until at most `max_age` ago.

    It may have no guardrail violated, nor lack data for one; with `must_pass` all must have passed. How much of the
    window the log has rows of is not asked.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    window: Duration = Field(timedelta(days=30), gt=timedelta(0))
    max_age: Duration = timedelta(days=7)
    must_pass: bool = False
