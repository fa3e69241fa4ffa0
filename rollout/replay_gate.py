"""What a plan, or a promotion, asks of a replay before a version serves anybody."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field

from rollout.durations import Duration


class ReplayGate(BaseModel):
    """A stored replay of the very versions, over at least `window` of traffic and no older than `max_age`.

    It may have no guardrail violated; with `must_pass` all must have passed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    window: Duration = Field(timedelta(days=30), gt=timedelta(0))
    max_age: Duration = timedelta(days=7)
    must_pass: bool = False
