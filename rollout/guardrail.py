"""What a rollout watches: a metric, what counts as harm, and by how much it may be worse."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Metric(StrEnum):
    """What is measured of units; `docs/rollouts.md` has the formulas."""

    ERROR_RATE = "error_rate"
    LATENCY_SLO = "latency_slo"
    LATENCY_LOGMEAN = "latency_logmean"
    SELECTION_RATE = "selection_rate"
    ACCURACY = "accuracy"
    LOG_LOSS = "log_loss"
    BRIER = "brier"
    MEAN_OUTCOME = "mean_outcome"
    DP_DIFF = "dp_diff"
    DP_RATIO = "dp_ratio"
    EO_DIFF = "eo_diff"
    FPR_DIFF = "fpr_diff"
    EODDS_DIFF = "eodds_diff"
    GROUP_ACCURACY_MIN = "group_accuracy_min"

    @property
    def compares_groups(self) -> bool:
        """Whether it is measured within groups of a protected attribute."""
        return self in _OF_GROUPS

    @property
    def needs_outcome(self) -> bool:
        """Whether it is known only once the outcome is."""
        return self in _OF_OUTCOMES

    @property
    def harm(self) -> Literal["increase", "decrease"]:
        """Which change is the worse one, where a plan does not say."""
        return "decrease" if self in _BETTER_WHEN_MORE else "increase"


_OF_GROUPS: Final = frozenset(
    {
        Metric.DP_DIFF,
        Metric.DP_RATIO,
        Metric.EO_DIFF,
        Metric.FPR_DIFF,
        Metric.EODDS_DIFF,
        Metric.GROUP_ACCURACY_MIN,
    }
)
_OF_OUTCOMES: Final = frozenset(
    {
        Metric.ACCURACY,
        Metric.LOG_LOSS,
        Metric.BRIER,
        Metric.MEAN_OUTCOME,
        Metric.EO_DIFF,
        Metric.FPR_DIFF,
        Metric.EODDS_DIFF,
        Metric.GROUP_ACCURACY_MIN,
    }
)
_BETTER_WHEN_MORE: Final = frozenset(
    {Metric.SELECTION_RATE, Metric.ACCURACY, Metric.MEAN_OUTCOME, Metric.DP_RATIO, Metric.GROUP_ACCURACY_MIN}
)


class Stage(StrEnum):
    """When a unit enters a guardrail's statistics: with its answer, or once its outcome had time to come."""

    FAST = "fast"
    LABELLED = "labelled"


class Verdict(StrEnum):
    """What the evidence says of a guardrail; `error` is an evaluation that failed."""

    VIOLATED = "violated"
    PASSED = "passed"
    INCONCLUSIVE = "inconclusive"
    INSUFFICIENT_DATA = "insufficient_data"
    NO_DATA = "no_data"
    ERROR = "error"


class Guardrail(BaseModel):
    """One thing that must not get worse.

    With `compare: control` the challenger may be worse than the control by less than `margin`, in the metric's
    own units (for `dp_ratio` in units of ln ratio); with `absolute` `margin` is the limit that the challenger alone
    must keep: an upper one of a gap, a lower one where less is worse. `positive` is the prediction, and the
    outcome, that counts as selected. `stage` is `labelled` for metrics of outcomes; for `dp_*` it may be, so that
    protected attributes that come later are counted too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    id: str = Field("", max_length=100, pattern=r"^[A-Za-z0-9_.:-]*$")
    metric: Metric
    compare: Literal["control", "absolute"] = "control"
    margin: float = Field(ge=0)
    harm: Literal["increase", "decrease"] | None = None
    stage: Stage | None = None
    attribute: str | None = Field(None, min_length=1, max_length=200)
    groups: tuple[str, ...] | None = Field(None, min_length=2, max_length=50)
    reference: str | None = None
    positive: bool | int | float | str = 1
    slo_ms: float | None = Field(None, gt=0)
    method: Literal["auto", "asymp_cs", "cond_binom"] = "auto"
    alpha_weight: float = Field(1.0, gt=0)
    on_violation: Literal["rollback", "hold", "warn"] = "rollback"
    required: bool = True
    min_cell: int = Field(10, ge=1)
    burn_in: int = Field(500, ge=1)
    planned_units: int = Field(5_000, ge=100)

    @model_validator(mode="after")
    def _fits_its_metric(self) -> Self:
        if self.metric.compares_groups != (self.attribute is not None):
            wanted = (
                "needs the protected `attribute` whose" if self.attribute is None else "takes no `attribute`, no"
            )
            raise ValueError(f"{self.metric} {wanted} groups it compares")
        if (self.metric is Metric.LATENCY_SLO) != (self.slo_ms is not None):
            raise ValueError("`slo_ms`, a limit in milliseconds, belongs to latency_slo, which needs it")
        if self.metric.needs_outcome and self.stage is Stage.FAST:
            raise ValueError(f"{self.metric} is known only with the outcome: its stage is labelled")
        if self.compare == "control" and self.required and self.margin == 0:
            raise ValueError("with a margin of 0 not even an equal version can pass; say how much is bearable")
        if self.reference is not None and self.groups is not None and self.reference not in self.groups:
            raise ValueError("`reference` must be one of `groups`")
        return self

    @property
    def name(self) -> str:
        """Its id, by default its metric and attribute."""
        return self.id or (str(self.metric) if self.attribute is None else f"{self.metric}:{self.attribute}")

    @property
    def worse(self) -> Literal["increase", "decrease"]:
        """Which change is harm."""
        return self.harm or self.metric.harm

    @property
    def counted(self) -> Stage:
        """When a unit enters its statistics."""
        return self.stage or (Stage.LABELLED if self.metric.needs_outcome else Stage.FAST)
