"""A replay as it is asked for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from rollout.durations import Duration


class ReplayRequest(BaseModel):
    """Which version to replay, beside which, on how much traffic.

    `version` and `alias` name the challenger, its alias `challenger` where both are left out; `against` is the
    number or alias of the version that it is compared with. `plan` is a rollout plan, whose guardrails judge, and
    `label_maturity` how long outcomes had to come, where it is not the plan's.
    """

    model_config = ConfigDict(extra="forbid")

    model: str = Field(min_length=1, max_length=200)
    version: str | None = Field(None, min_length=1, max_length=50)
    alias: str | None = Field(None, min_length=1, max_length=100)
    against: str = Field("champion", min_length=1, max_length=100)
    window: Duration = Field(timedelta(days=30), gt=timedelta(0))
    label_maturity: Duration | None = None
    plan: dict[str, Any] | None = None
