"""What a policy tolerates, and the three verdicts."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fairness.disparities import HEADLINE, Metric

DIFFERENCE_LIMIT: Final = 0.10
"""Default tolerance of a difference: an engineering choice, not a legal one."""

RATIO_LIMIT: Final = 0.80
"""Default tolerance of a ratio, from the four-fifths rule of thumb; also an engineering choice."""

EVERY_GROUP: Final = "*"
"""As a required group: insufficient evidence about any of the groups compared refuses."""


class Verdict(StrEnum):
    """What the evidence says about one tolerance."""

    PASS = "pass"  # noqa: S105 - the word of the glossary, no password
    FAIL = "fail"
    INSUFFICIENT_EVIDENCE = "insufficient_evidence"


class Tolerance(BaseModel):
    """How far apart the groups of one attribute may be in one metric."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    metric: Metric
    """Which disparity."""
    attribute: str = Field(min_length=1)
    """Between the groups of which protected attribute."""
    at_most: float | None = Field(default=None, gt=0, lt=1)
    """The limit of a difference."""
    at_least: float | None = Field(default=None, gt=0, lt=1)
    """The limit of a ratio."""
    required_groups: tuple[str, ...] = ()
    """Groups that must not lack evidence: where they do, the gate refuses. "*" means every group compared."""
    gating: bool = True
    """False shows the verdict and never refuses because of it."""

    @model_validator(mode="after")
    def _check_limit(self) -> Self:
        wanted, other = ("at_least", "at_most") if self.metric.is_ratio else ("at_most", "at_least")
        if getattr(self, wanted) is None or getattr(self, other) is not None:
            raise ValueError(f"{self.metric} takes `{wanted}` (between 0 and 1) and no `{other}`")
        return self

    @property
    def limit(self) -> float:
        """The limit, whichever side it is on."""
        limit = self.at_least if self.metric.is_ratio else self.at_most
        return float(limit or 0.0)


class BiasPolicy(BaseModel):
    """The tolerances that a bias test is judged by; none means that everything is shown and nothing judged."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    tolerances: tuple[Tolerance, ...] = ()
    """At most one per metric and attribute."""

    @model_validator(mode="after")
    def _check_unique(self) -> Self:
        keys = [(tolerance.metric, tolerance.attribute) for tolerance in self.tolerances]
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(f"two tolerances for {key[0]} on '{key[1]}'; keep one")
        return self

    def find(self, metric: Metric, attribute: str) -> Tolerance | None:
        """Return the tolerance for one metric of one attribute, if there is one."""
        for tolerance in self.tolerances:
            if tolerance.metric is metric and tolerance.attribute == attribute:
                return tolerance
        return None


def default_policy(attributes: Iterable[str], *, outcomes: bool = True, gating: bool = True) -> BiasPolicy:
    """Return a policy with the default limit for the headline metrics: differences up to 0.10, ratios from 0.80.

    Without `outcomes` only demographic parity can be measured, and only that is asked for.
    """
    return BiasPolicy(
        tolerances=tuple(
            Tolerance(metric=metric, attribute=attribute, gating=gating, at_least=RATIO_LIMIT)
            if metric.is_ratio
            else Tolerance(metric=metric, attribute=attribute, gating=gating, at_most=DIFFERENCE_LIMIT)
            for attribute in attributes
            for metric in HEADLINE
            if outcomes or not metric.needs_outcomes
        )
    )


def worst_verdict(verdicts: Iterable[Verdict | None]) -> Verdict | None:
    """Return the worst verdict (fail, then insufficient_evidence, then pass), or None where none was given."""
    given = set(verdicts)
    for verdict in (Verdict.FAIL, Verdict.INSUFFICIENT_EVIDENCE, Verdict.PASS):
        if verdict in given:
            return verdict
    return None
