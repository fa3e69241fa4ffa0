"""Units that a guardrail needs: the design's planning formula, and that so many do decide."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.evidence import CHALLENGER
from rollout.guardrail import Guardrail, Verdict
from rollout.judging import judge
from rollout.power import MOST_UNITS, expected_cells, units_needed


def guard(metric: str, margin: float, **others: Any) -> Guardrail:
    return Guardrail.model_validate({"metric": metric, "margin": margin, "required": False} | others)


@pytest.mark.parametrize(("alpha", "factor"), [(0.05, 7.72), (0.01, 11.3)])
def test_a_mean_needs_what_the_planning_formula_says(alpha: float, factor: float) -> None:
    formula = factor * 4 * 0.8**2 / 0.1**2
    guardrail = guard("log_loss", 0.1, planned_units=round(formula))
    assert units_needed(guardrail, base_rates=0.4, effect=0.0, alpha=alpha, spread=0.8) == pytest.approx(
        formula, rel=0.01
    )


def test_a_minority_that_loses_ten_points_is_found_with_the_units_of_the_design() -> None:
    guardrail = guard("dp_diff", 0.0, attribute="sex", reference="m")
    needed = units_needed(
        guardrail, base_rates={"m": 0.3, "w": 0.3}, effect=0.1, alpha=0.05, shares={"m": 0.8, "w": 0.2}
    )
    assert needed == pytest.approx(3_800, rel=0.03)


@pytest.mark.parametrize(
    ("metric", "margin", "base", "others"),
    [
        ("error_rate", 0.01, 0.0, {}),
        ("error_rate", 0.01, 0.02, {}),
        ("latency_slo", 0.05, 0.05, {"slo_ms": 20.0}),
        ("accuracy", 0.03, 0.85, {}),
        ("accuracy", 0.6, 0.85, {"compare": "absolute"}),
        ("dp_ratio", 0.2, 0.3, {"attribute": "sex"}),
        ("eodds_diff", 0.1, 0.3, {"attribute": "sex"}),
        ("group_accuracy_min", 0.05, {"a": 0.9, "b": 0.8}, {"attribute": "race"}),
        ("dp_diff", 0.1, 0.3, {"attribute": "race", "groups": ("a", "b", "c")}),
    ],
)
def test_so_many_units_pass_and_a_tenth_less_do_not(
    metric: str, margin: float, base: Any, others: dict[str, Any]
) -> None:
    guardrail = guard(metric, margin, **others)
    needed = units_needed(guardrail, base_rates=base, effect=0.0, alpha=0.05)
    for units, expected in ((needed, True), (round(needed * 0.9), False)):
        cells = expected_cells(guardrail, units, base, 0.0)
        found = judge(guardrail, cells, arm=CHALLENGER, alpha_rollback=0.05, alpha_promote=0.05)
        assert (found.verdict is Verdict.PASSED) is expected


def test_a_larger_harm_is_found_sooner_and_one_of_the_margin_never() -> None:
    guardrail = guard("error_rate", 0.01)
    needed = [units_needed(guardrail, base_rates=0.01, effect=effect, alpha=0.05) for effect in (0.1, 0.05, 0.03)]
    assert needed == sorted(needed)
    assert units_needed(guardrail, base_rates=0.01, effect=0.01, alpha=0.05) == MOST_UNITS
