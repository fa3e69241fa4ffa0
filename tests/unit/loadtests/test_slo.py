import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.slo import Objectives, Observed, judge, split_bounds

OBJECTIVES = Objectives(error_ratio=0.001, p95_milliseconds=50.0, requests=1_000)
GOOD = Observed(
    requests=10_000,
    failures=10,
    p95_milliseconds=50.0,
    units=2_000,
    challenger_units=1_000,
    moved_units=0,
    weight=0.5,
)


def test_a_run_at_its_limits_meets_every_objective() -> None:
    assert [finding.objective for finding in judge(GOOD, OBJECTIVES) if not finding.met] == []


@pytest.mark.parametrize(
    ("change", "objective"),
    [
        ({"requests": 999, "failures": 0}, "at least"),
        ({"failures": 11}, "error ratio"),
        ({"p95_milliseconds": 50.1}, "p95"),
        ({"moved_units": 1}, "no unit"),
        ({"challenger_units": 1_200}, "units at the challenger"),
        ({"challenger_units": 0}, "units at the challenger"),
        ({"units": 0, "challenger_units": 0}, "units at the challenger"),
        ({"weight": None}, "the split is the weight"),
    ],
)
def test_each_shortfall_is_found_and_no_other(change: dict[str, float], objective: str) -> None:
    findings = judge(dataclasses.replace(GOOD, **change), OBJECTIVES)
    missed = [finding.objective for finding in findings if not finding.met]
    assert len(missed) == 1
    assert objective in missed[0]


def test_a_run_without_requests_has_no_good_latency_and_no_good_error_ratio() -> None:
    nothing = dataclasses.replace(GOOD, requests=0, failures=0, p95_milliseconds=0.0)
    assert [finding.met for finding in judge(nothing, OBJECTIVES)][:3] == [False, False, False]


@given(units=st.integers(1, 5_000), weight=st.floats(0.0, 1.0))
def test_bounds_hold_the_expected_number_and_stay_within_the_units(units: int, weight: float) -> None:
    low, high = split_bounds(units, weight, 0.9999)
    assert 0 <= low <= round(units * weight) <= high <= units


def test_a_correct_split_is_almost_never_called_wrong_and_a_wrong_one_is() -> None:
    low, high = split_bounds(2_000, 0.3, 0.9999)
    draws = np.random.default_rng(7).binomial(2_000, 0.3, size=20_000)
    assert np.mean((draws < low) | (draws > high)) < 0.001
    # a rendezvous hash that multiplies hash and weight sends about 21 % where 30 % was asked for
    wrong = np.random.default_rng(7).binomial(2_000, 0.3 / 0.7 / 2, size=1_000)
    assert np.mean((wrong < low) | (wrong > high)) > 0.999
