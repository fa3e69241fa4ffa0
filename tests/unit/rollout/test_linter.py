"""A plan is looked at before it runs: what cannot pass is an error that says how to mend it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.guardrail import Guardrail, Verdict
from rollout.linter import Finding, lint, span
from rollout.plan import Plan
from rollout.power_preview import powers
from rollout.streams import Stream, harmed, measured
from rollout.traffic import Traffic, assumed_traffic

DP = {"metric": "dp_diff", "attribute": "SEX", "groups": ["1", "2"], "margin": 0.05}
STEPS = [{"weight": 0.1, "min_duration": "1h", "max_duration": "7d"}, {"weight": 0.5, "min_duration": "1h"}]


def plan(**changes: Any) -> Plan:
    return Plan.parse({"model": "credit", "steps": STEPS, "guardrails": [DP]} | changes)


def counted(made: Plan, units: float = 20_000.0, **changes: Any) -> Traffic:
    """Return traffic as if it had been measured, rates too."""
    return replace(assumed_traffic(made, units), guessed=frozenset(), assumed=(), **changes)


def codes(found: list[Finding], level: str) -> list[str]:
    return [one.code for one in found if one.level == level]


def test_a_plan_that_can_pass_has_no_errors_and_says_what_it_takes() -> None:
    made = plan()
    found = lint(made, counted(made))
    assert codes(found, "error") == []
    (power,) = [one.message for one in found if one.code == "power"]
    assert "units in each arm" in power
    assert "harm of 0.1 is caught" in power


def test_too_little_traffic_for_a_guardrail_is_an_error_with_the_units_it_needs() -> None:
    made = plan()
    (found,) = [one for one in lint(made, counted(made, 150.0)) if one.code == "underpowered_plan"]
    assert (found.level, found.guardrail) == ("error", "dp_diff:SEX")
    assert "max_duration" in found.message


def test_nothing_is_refused_on_a_guess() -> None:
    made = plan(steps=[{"weight": 0.01, "max_duration": "1h"}])
    assert codes(lint(made, assumed_traffic(made)), "error") == []
    assert "step_too_short" in codes(lint(made, assumed_traffic(made)), "warning")


def test_a_guardrail_that_is_not_required_may_lack_power() -> None:
    made = plan(guardrails=[DP | {"required": False}])
    assert "underpowered_plan" not in codes(lint(made, counted(made, 400.0)), "error")


def test_a_group_too_small_to_be_compared_is_named_with_what_to_do() -> None:
    made = plan()
    streams = (Stream("", "1", 0.9999, 0.3), Stream("", "2", 0.0001, 0.3))
    traffic = counted(made, streams={"dp_diff:SEX": streams}, groups={"SEX": {"1": 0.9999, "2": 0.0001}})
    (found,) = [one for one in lint(made, traffic) if one.code == "small_group"]
    assert found.level == "error"
    assert "group 2" in found.message
    assert "`groups`" in found.message


@pytest.mark.parametrize(("share", "level"), [(0.0, "error"), (0.2, "warning"), (0.9, None)])
def test_rows_without_units_are_told_of(share: float, level: str | None) -> None:
    made = plan()
    found = [one for one in lint(made, counted(made, unit_share=share)) if one.code.endswith("_units")]
    assert [one.level for one in found] == ([] if level is None else [level])
    assert all("on_missing_key: request" in one.message for one in found)


def test_a_manual_split_is_asked_for_nothing() -> None:
    made = Plan.parse({"model": "credit", "steps": [{"weight": 0.1}]})
    assert lint(made, counted(made, unit_share=0.0)) == []


@pytest.mark.parametrize("has_shadow", [True, False])
def test_labels_that_decisions_select_are_judged_on_shadow_traffic_or_not_at_all(*, has_shadow: bool) -> None:
    shadow = [{"mode": "shadow", "sample": 0.5}] if has_shadow else []
    made = plan(selective_labels=True, steps=[*shadow, *STEPS], guardrails=[{"metric": "accuracy", "margin": 0.05}])
    (found,) = [one for one in lint(made, counted(made)) if one.code == "selective_labels"]
    assert found.level == ("warning" if has_shadow else "error")


def test_a_limit_that_the_champion_breaks_can_be_kept_by_no_version_like_it() -> None:
    made = plan(guardrails=[DP | {"compare": "absolute", "margin": 0.02}])
    streams = (Stream("", "1", 0.5, 0.4), Stream("", "2", 0.5, 0.3))
    found = lint(made, counted(made, streams={"dp_diff:SEX": streams}))
    assert codes(found, "error") == ["limit_broken"]


def test_attributes_and_outcomes_of_too_few_are_errors() -> None:
    made = plan(guardrails=[DP, {"metric": "accuracy", "margin": 0.05}])
    traffic = counted(made, label_share=0.5, groups={"SEX": {"1": 0.3, "2": 0.2}})
    assert {"attribute_coverage", "label_coverage"} <= set(codes(lint(made, traffic), "error"))


def test_errors_that_only_shadow_sees_as_harm_are_warned_of() -> None:
    shadow = {"mode": "shadow", "sample": 0.5}
    made = plan(steps=[shadow, *STEPS], guardrails=[{"metric": "error_rate", "margin": 0.005}])
    assert "shadow_errors" in codes(lint(made, counted(made)), "warning")


def test_the_budget_of_false_alarms_is_all_spent_and_told() -> None:
    made = plan(guardrails=[DP | {"alpha_weight": 3}, {"metric": "error_rate", "margin": 0.01}])
    parts = {one.guardrail: one.alpha for one in powers(made, counted(made))}
    assert parts["dp_diff:SEX"] == pytest.approx(3 * parts["error_rate"])
    assert sum(parts.values()) <= made.alpha_rollback + 1e-12
    assert codes(lint(made, counted(made)), "info").count("false_alarms") == 1


def test_more_is_needed_where_less_may_be_lost() -> None:
    needed = []
    for margin in (0.02, 0.05, 0.1):
        made = plan(guardrails=[DP | {"margin": margin}])
        (power,) = powers(made, counted(made, 1_000_000.0))
        assert power.to_pass is not None
        assert power.verdict is Verdict.PASSED
        needed.append(power.to_pass)
    assert needed == sorted(needed, reverse=True)


@pytest.mark.parametrize(("alpha", "factor"), [(0.05, 7.72), (0.01, 11.3)])
def test_a_mean_needs_what_the_planning_formula_says(alpha: float, factor: float) -> None:
    units = factor * 4 * 0.8**2 / 0.1**2  # Waudby-Smith et al. 2024: of both arms, for a difference of 0.1
    guardrail = {"metric": "log_loss", "margin": 0.1, "planned_units": round(units)}
    made = plan(guardrails=[guardrail], alpha_promote=alpha)
    (power,) = powers(made, counted(made, streams={"log_loss": (Stream("", "", 1.0, 0.4, 0.8),)}))
    assert power.to_pass is not None
    assert 2 * power.to_pass == pytest.approx(units, rel=0.03)


def test_a_minority_that_loses_ten_points_is_found_with_four_times_the_units_of_twice_the_distance() -> None:
    made = plan(guardrails=[DP | {"margin": 0.05, "reference": "1"}])
    streams = (Stream("", "1", 0.8, 0.3), Stream("", "2", 0.2, 0.3))
    (power,) = powers(made, counted(made, streams={"dp_diff:SEX": streams}))
    assert power.harm == pytest.approx(0.1)
    assert power.to_catch is not None
    assert 2 * power.to_catch == pytest.approx(4 * 3_800, rel=0.05)  # 3,800 of both arms tell 0.1 from 0


@settings(max_examples=50)
@given(
    st.sampled_from(["dp_diff", "dp_ratio", "selection_rate", "accuracy", "group_accuracy_min", "mean_outcome"]),
    st.floats(0, 0.2),
)
def test_the_harm_that_is_put_in_is_the_harm_that_is_there(metric: str, effect: float) -> None:
    is_grouped = metric in {"dp_diff", "dp_ratio", "group_accuracy_min"}
    guardrail = Guardrail.model_validate(
        {"metric": metric, "margin": 0.1, "attribute": "SEX" if is_grouped else None}
    )
    groups = ("1", "2") if is_grouped else ("",)
    streams = tuple(Stream("", group, 0.5, 0.5, 1.0 if metric == "mean_outcome" else None) for group in groups)
    before, after = (measured(guardrail, one) for one in (streams, harmed(guardrail, streams, effect)))
    assert before is not None
    assert after is not None
    lost = before - after if guardrail.worse == "decrease" else after - before
    expected = before * (1 - 2.718281828459045**-effect) if metric == "dp_ratio" else effect
    assert lost == pytest.approx(expected, abs=1e-9)


def test_times_are_told_in_one_unit() -> None:
    assert [span(timedelta(seconds=seconds)) for seconds in (30, 600, 10_800, 864_000)] == [
        "30 s",
        "10 min",
        "3 h",
        "10 days",
    ]
