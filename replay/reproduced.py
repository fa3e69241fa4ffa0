"""What was found when one logged decision was made again."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from monitoring.logged_prediction import LoggedPrediction
from replay.exact_version import ExactVersion, Registered
from replay.lineage import Lineage
from replay.rollout_part import RolloutPart


class LoggedAnswer(BaseModel):
    """The answer as it was given. `has_unit` says that the row was of a unit, never of which."""

    model_config = ConfigDict(frozen=True)

    prediction: Any
    score: float | None
    served_at: datetime
    model: str
    model_version: str
    variant: str | None
    cohort: str | None
    epoch: int
    protocol: str
    has_unit: bool
    status: str
    latency_us: int
    is_shipped: bool

    @classmethod
    def of(cls, logged: LoggedPrediction) -> LoggedAnswer:
        """Return what a row of the log says of its answer."""
        return cls(**{name: getattr(logged, name) for name in cls.model_fields})


class Recomputed(BaseModel):
    """The answer that the same version gives now.

    `runtime` says what scored the row: `compiled`, or `runner`, the model's own process. `rows` went through it at
    once: 1, or as many as it takes for the same bits. `libraries` are those that it was done with.
    """

    model_config = ConfigDict(frozen=True)

    prediction: Any
    score: float | None
    probabilities: tuple[float, ...] | None
    runtime: str
    rows: int
    libraries: dict[str, str]


class Difference(BaseModel):
    """A field in which the logged answer and the recomputed one differ; `by` is how far, of numbers."""

    model_config = ConfigDict(frozen=True)

    field: str
    logged: Any
    recomputed: Any
    by: float | None


class VersionFound(BaseModel):
    """The version that answered; `registered` says what the registry has of its number now."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    digest: str | None
    registered: Registered

    @classmethod
    def of(cls, version: ExactVersion) -> VersionFound:
        """Return what is told of a version."""
        return cls(name=version.name, version=version.number, digest=version.digest, registered=version.registered)


class Reproduction(BaseModel):
    """One decision made again.

    `same` says whether it came out the same to the last bit; None where it could not be made again, and `reason`
    then says why, and otherwise what probably makes the difference. `threshold` is the decision rule's: the second
    class from that probability on; None: the most probable class.
    """

    model_config = ConfigDict(frozen=True)

    prediction_id: str
    same: bool | None
    reason: str
    logged: LoggedAnswer
    recomputed: Recomputed | None
    differences: tuple[Difference, ...]
    classes: tuple[Any, ...]
    threshold: float | None
    version: VersionFound
    lineage: Lineage
    rollout: RolloutPart | None
    rollout_id: str | None
    outcome: Any
