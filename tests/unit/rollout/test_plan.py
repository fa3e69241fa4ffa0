"""Plans: what can be carried out is read, what cannot is refused with the key that is wrong."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.errors import InvalidPlanError
from rollout.plan import Plan
from rollout.weights import weight_to_bp

GOOD: dict[str, Any] = {"model": "credit", "steps": [{"weight": 0.1}]}


def test_a_plan_is_read_from_yaml(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text('model: credit\nchallenger: "7"\nsteps:\n  - weight: 0.25\n')
    plan = Plan.load(path)
    assert (plan.model, plan.challenger) == ("credit", "7")
    assert [step.weight_bp for step in plan.steps] == [2_500]


def test_without_a_challenger_the_plan_means_the_alias() -> None:
    assert Plan.parse(GOOD).challenger is None


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"model": None}, "model"),
        ({"model": 7}, "model"),
        ({"challenger": ["1"]}, "challenger"),
        ({"steps": []}, "steps"),
        ({"steps": None}, "steps"),
        ({"steps": [{"weight": 0.1}, {"weight": 0.2}]}, "the whole"),
        ({"steps": [{"weight": 0.51}]}, "steps.0.weight"),
        ({"steps": [{"weight": -0.01}]}, "steps.0.weight"),
        ({"steps": [{"weight": math.nan}]}, "steps.0.weight"),
        ({"steps": [{"weight": "much"}]}, "steps.0.weight"),
        ({"steps": [{"weight": 0.1, "hours": 3}]}, "steps.0.hours"),
        ({"guardrails": [{}]}, "guardrails.0.metric"),
    ],
)
def test_a_wrong_key_is_named(change: dict[str, Any], key: str) -> None:
    with pytest.raises(InvalidPlanError, match=rf"^plan: {key}: "):
        Plan.parse(GOOD | change)


@pytest.mark.parametrize("content", ["- a\n- b\n", "", "just words"])
def test_a_file_that_holds_no_mapping_is_refused_by_its_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(content)
    with pytest.raises(InvalidPlanError, match=r"plan\.yaml: the whole: "):
        Plan.load(path)


@pytest.mark.parametrize("content", [b"steps: [", b"\xff\xfe\x00", None])
def test_a_file_that_cannot_be_read_is_refused_by_its_name(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "plan.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidPlanError, match=r"plan\.yaml cannot be read as YAML"):
        Plan.load(path)


@given(st.integers(0, 5_000))
def test_every_basis_point_is_a_weight_and_comes_back(bp: int) -> None:
    assert weight_to_bp(bp / 10_000) == bp


@pytest.mark.parametrize("weight", [-0.0001, 0.5001, 1.0, math.inf, -math.inf, math.nan, 1e308])
def test_weights_outside_zero_to_one_half_are_refused(weight: float) -> None:
    with pytest.raises(InvalidPlanError, match=r"outside 0 to 0\.5"):
        weight_to_bp(weight)


GUARDED: dict[str, Any] = {
    "model": "credit",
    "steps": [
        {"mode": "shadow", "sample": 0.5, "min_duration": "10m"},
        {"weight": 0.05},
        {"weight": 0.5, "advance_when": "all_passed"},
        {"mode": "soak"},
    ],
    "guardrails": [
        {"metric": "error_rate", "margin": 0.01},
        {"metric": "dp_diff", "attribute": "sex", "margin": 0.05},
        {"metric": "eo_diff", "attribute": "race", "margin": 0.05},
    ],
}


def test_a_guarded_plan_knows_what_it_watches() -> None:
    plan = Plan.parse(GUARDED)
    assert plan.promotes
    assert not plan.is_manual
    assert plan.has_labelled
    assert plan.attributes == ("race", "sex")
    assert [step.sample_bp for step in plan.steps] == [5_000, 0, 0, 0]
    assert (plan.missing_key, Plan.parse(GOOD).missing_key) == ("champion", "request")


def test_a_plan_is_known_by_its_content_and_reads_what_it_wrote() -> None:
    plan = Plan.parse(GUARDED)
    again = Plan.parse(plan.model_dump(mode="json"))
    assert again == plan
    assert again.digest == plan.digest
    assert Plan.parse(GUARDED | {"holdback": 0.1}).digest != plan.digest


def test_several_challengers_share_the_units_and_promote_nothing_by_themselves() -> None:
    three = GUARDED | {"challengers": ["2", "3"], "steps": [{"weights": [0.3, 0.1]}]}
    plan = Plan.parse(three)
    assert plan.steps[0].weights_bp == (3_000, 1_000)
    assert not plan.promotes


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"guardrails": []}, "manual split"),
        ({"steps": [{"weight": 0.1}, {"mode": "shadow", "sample": 0.1}]}, "from shadow to canary to soak"),
        ({"steps": [{"mode": "shadow"}]}, "sample"),
        ({"steps": [{"mode": "soak", "weight": 0.1}]}, "has no weight"),
        ({"steps": [{"weight": 0.1, "min_duration": "2h", "max_duration": "1h"}]}, "shorter"),
        ({"steps": [{"weight": 0.1, "weights": [0.1]}]}, "for several"),
        ({"challengers": ["2", "3"], "steps": [{"weights": [0.1, 0.1]}] * 2}, "in one canary step"),
        ({"challengers": ["2", "3"], "steps": [{"mode": "shadow", "sample": 0.1}]}, "in one canary step"),
        ({"challengers": ["2", "3"]}, "one for each of the 2"),
        ({"challengers": ["2", "3"], "steps": [{"weights": [0.4, 0.1]}]}, "at most 1/3"),
        ({"challengers": ["2", "2"], "steps": [{"weights": [0.1, 0.1]}]}, "twice"),
        ({"challenger": "2", "challengers": ["3"]}, "challenger"),
        ({"goals": [{"metric": "accuracy", "margin": 0.01}]}, "has one step"),
        ({"goals": [{"metric": "error_rate", "margin": 0.01}], "steps": [{"weight": 0.5}]}, "same name"),
        ({"unit": "request", "on_missing_key": "champion"}, "on_missing_key"),
    ],
)
def test_a_plan_that_contradicts_itself_is_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidPlanError, match=reason):
        Plan.parse(GUARDED | change)
