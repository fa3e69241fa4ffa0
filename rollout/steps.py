"""The steps of a plan: how much traffic the challenger gets, and when the next one comes."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rollout.assignment import MAX_WEIGHT_BP
from rollout.durations import Duration
from rollout.weights import weight_to_bp

Mode = Literal["shadow", "canary", "soak"]

_WEEK: Final = timedelta(days=7)


class Step(BaseModel):
    """One share of traffic, fractions of the units resolved to basis points.

    A `canary` serves the challenger to `weight` of the units, 0 to 0.5 (`weights`: one for each of several
    challengers). A `shadow` serves nobody by it and lets it score `sample` of the requests beside the champion. A
    `soak` serves it to all but the plan's holdback. The next step comes when `min_duration` is over, each compared
    cohort has `min_units`, and the guardrails say what `advance_when` asks; where that is not so at `max_duration`,
    the plan's `on_inconclusive` says what happens. Left out, it is a week, and a manual split has no end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str | None = Field(None, min_length=1, max_length=100)
    mode: Mode = "canary"
    weight: float = Field(0.0, ge=0, le=MAX_WEIGHT_BP / 10_000)
    weights: tuple[float, ...] | None = Field(None, min_length=1, max_length=9)
    sample: float = Field(0.0, ge=0, le=1)
    min_duration: Duration = timedelta(0)
    max_duration: Duration | None = None
    min_units: int = Field(500, ge=0)
    advance_when: Literal["none_violated", "fast_passed", "all_passed"] = "none_violated"
    requires_approval: bool = False

    @model_validator(mode="after")
    def _fits_its_mode(self) -> Self:
        if (self.sample > 0) != (self.mode == "shadow"):
            raise ValueError("`sample`, the share of requests that are scored beside, belongs to mode shadow")
        if self.mode != "canary" and (self.weight > 0 or self.weights is not None):
            raise ValueError(f"a {self.mode} step has no weight")
        if self.weight > 0 and self.weights is not None:
            raise ValueError("give `weight` for one challenger, or `weights` for several")
        if self.longest < self.min_duration:
            raise ValueError("max_duration is shorter than min_duration")
        return self

    @property
    def longest(self) -> timedelta:
        """How long it may last where something is watched."""
        return _WEEK if self.max_duration is None else self.max_duration

    @property
    def weight_bp(self) -> int:
        """The first challenger's weight in basis points."""
        return self.weights_bp[0]

    @property
    def weights_bp(self) -> tuple[int, ...]:
        """Each challenger's weight in basis points."""
        return tuple(map(weight_to_bp, self.weights or (self.weight,)))

    @property
    def sample_bp(self) -> int:
        """The share of requests scored beside, in basis points."""
        return round(self.sample * 10_000)
