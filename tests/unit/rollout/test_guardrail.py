"""Guardrails: what fits its metric is read, what does not is refused with the reason."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from rollout.guardrail import Guardrail, Metric, Stage


@pytest.mark.parametrize("metric", list(Metric))
def test_every_metric_has_a_direction_of_harm_and_a_stage(metric: Metric) -> None:
    needs: dict[str, Any] = {"attribute": "sex"} if metric.compares_groups else {}
    if metric is Metric.LATENCY_SLO:
        needs["slo_ms"] = 20
    found = Guardrail(metric=metric, margin=0.05, **needs)
    assert found.worse in {"increase", "decrease"}
    assert found.counted is (Stage.LABELLED if metric.needs_outcome else Stage.FAST)
    assert found.name == (f"{metric}:sex" if metric.compares_groups else str(metric))


def test_groups_may_be_counted_once_late_attributes_came() -> None:
    assert (
        Guardrail(metric=Metric.DP_DIFF, margin=0.1, attribute="sex", stage=Stage.LABELLED).counted
        is Stage.LABELLED
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"metric": "dp_diff", "margin": 0.1}, "needs the protected `attribute`"),
        ({"metric": "accuracy", "margin": 0.1, "attribute": "sex"}, "takes no `attribute`"),
        ({"metric": "latency_slo", "margin": 0.1}, "slo_ms"),
        ({"metric": "error_rate", "margin": 0.1, "slo_ms": 5}, "slo_ms"),
        ({"metric": "accuracy", "margin": 0.1, "stage": "fast"}, "known only with the outcome"),
        ({"metric": "error_rate", "margin": 0}, "not even an equal version can pass"),
        (
            {"metric": "dp_diff", "margin": 0.1, "attribute": "sex", "groups": ["1", "2"], "reference": "3"},
            "reference",
        ),
        ({"metric": "error_rate", "margin": float("inf")}, "finite"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(content: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Guardrail.model_validate(content)
