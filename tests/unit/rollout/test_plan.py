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
