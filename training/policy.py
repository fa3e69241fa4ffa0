"""What a version must show before it may be promoted, as written in a configuration."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fairness.gate import BiasPolicy, Tolerance


class QualityMetric(StrEnum):
    """Quality metrics by scikit-learn's names, on the held-out rows."""

    ACCURACY = "accuracy"
    ROC_AUC = "roc_auc"
    BRIER = "brier"
    LOG_LOSS = "log_loss"
    R2 = "r2"
    MEAN_ABSOLUTE_ERROR = "mean_absolute_error"
    ROOT_MEAN_SQUARED_ERROR = "root_mean_squared_error"


class QualityGate(BaseModel):
    """One bound on one quality metric."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: QualityMetric
    at_least: float | None = Field(default=None, allow_inf_nan=False)
    at_most: float | None = Field(default=None, allow_inf_nan=False)
    gating: bool = True

    @property
    def limit(self) -> float:
        """The bound, whichever side it is on."""
        return float(self.at_least if self.at_least is not None else self.at_most or 0.0)

    def holds(self, value: float) -> bool:
        """Return whether the value keeps the bound; a value equal to it does, NaN does not."""
        return value >= self.limit if self.at_least is not None else value <= self.limit

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give either at_least or at_most")
        return self


class Gates(BaseModel):
    """All gates of a configuration; none means measured, reported and gated on nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    quality: tuple[QualityGate, ...] = ()
    bias: tuple[Tolerance, ...] = ()
    alpha: float = Field(default=0.05, gt=0.0, lt=0.5)
    """How often a fair model may be refused by chance, over all bias gates together."""
    minimum_rows: int = Field(default=30, ge=1)
    """Rates that rest on fewer rows are shown and not compared."""

    @property
    def bias_policy(self) -> BiasPolicy:
        """The bias gates as the policy that fairness measures by."""
        return BiasPolicy(tolerances=self.bias)

    @property
    def recorded_policy(self) -> dict[str, Any] | None:
        """The bias gates as a version keeps them; None where there is none."""
        return self.bias_policy.model_dump(mode="json", exclude_none=True) if self.bias else None

    @model_validator(mode="after")
    def _check(self) -> Self:
        BiasPolicy(tolerances=self.bias)
        return self
