from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp
from sklearn import metrics

from fairness.errors import LengthMismatchError, UnusableNumbersError
from fairness.groups import Groups, encode
from fairness.regression import GroupErrors, count_errors, regression_gaps, regression_metrics, separation_gap


def rows(n: int = 500) -> tuple[Groups, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    group = generator.integers(0, 2, n)
    truth = generator.normal(1e6 + 100 * group, 50)  # a large mean, where raw sums of squares lose their digits
    predicted = truth + generator.normal(-20 * group, 10)
    return encode("g", np.array(["a", "b"])[group]), truth, predicted


def test_measures_agree_with_scikit_learn() -> None:
    groups, truth, predicted = rows()
    found = regression_metrics(count_errors(groups, truth, predicted))
    for code, name in enumerate(groups.names):
        y, p = truth[groups.codes == code], predicted[groups.codes == code]
        assert found[name].mean_residual.value == pytest.approx((y - p).mean())
        assert found[name].mean_absolute_error.value == pytest.approx(metrics.mean_absolute_error(y, p))
        assert found[name].root_mean_squared_error.value == pytest.approx(metrics.root_mean_squared_error(y, p))
        assert found[name].r2.value == pytest.approx(metrics.r2_score(y, p))
        interval = ttest_1samp(y - p, 0).confidence_interval(0.95)
        assert (found[name].mean_residual.lower, found[name].mean_residual.upper) == pytest.approx(tuple(interval))


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=2, max_size=40), st.integers(0, 40))
def test_errors_of_two_windows_add_up(table: list[tuple[float, float]], cut: int) -> None:
    truth, predicted = (np.array([row[i] for row in table]) for i in range(2))
    parts = [
        count_errors(encode("g", ["a"] * len(y)), y, p).get("a", GroupErrors())
        for y, p in ((truth[:cut], predicted[:cut]), (truth[cut:], predicted[cut:]))
    ]
    both, whole = parts[0] + parts[1], count_errors(encode("g", ["a"] * len(truth)), truth, predicted)["a"]
    for name in ("predictions", "outcomes", "residuals", "absolute"):
        one, other = getattr(both, name), getattr(whole, name)
        assert one.rows == other.rows
        assert one.mean == pytest.approx(other.mean, abs=1e-6)
        assert one.squares == pytest.approx(other.squares, rel=1e-9, abs=1e-3)


def test_gaps_say_which_group_is_predicted_too_low() -> None:
    groups, truth, predicted = rows()
    found = regression_gaps(count_errors(groups, truth, predicted), minimum_rows=30)
    assert (found["mean_residual_difference"].highest, found["mean_residual_difference"].lowest) == ("b", "a")
    assert found["mean_residual_difference"].value == pytest.approx(20, abs=3)
    assert found["mean_prediction_difference"].value == pytest.approx(80, abs=15)
    assert "fewer than two" in str(
        regression_gaps(count_errors(groups, truth, predicted), 9999)["r2_difference"].reason
    )


def test_separation_looks_at_rows_with_about_the_same_outcome() -> None:
    groups, truth, predicted = rows(4000)
    edges = np.quantile(truth, np.linspace(0, 1, 41)[1:-1]).tolist()
    assert separation_gap(groups, truth, predicted, edges, 20).value == pytest.approx(20, abs=4)
    assert separation_gap(groups, truth, truth, edges, 20).value == pytest.approx(0, abs=4)
    assert separation_gap(groups, truth, predicted, edges, 9999).value is None


def test_what_is_not_known_is_undefined_with_the_reason() -> None:
    found = regression_metrics(count_errors(encode("g", ["a", "b", "b"]), [None, 4, 4], [1.0, 2.0, 3.0]))
    assert found["a"].mean_residual.reason == "no outcomes are known"
    assert found["a"].mean_prediction.value == 1.0
    assert (found["a"].rows, found["a"].labelled) == (1, 0)
    assert found["b"].r2.reason == "all outcomes of the group are the same"
    assert found["b"].mean_residual.value == 1.5
    without = regression_metrics(count_errors(encode("g", ["a"]), None, [1.0]))
    assert without["a"].r2.value is None


def test_what_is_no_number_is_refused() -> None:
    groups = encode("g", ["a", "a"])
    with pytest.raises(UnusableNumbersError, match="row 1 of column 'predictions'"):
        count_errors(groups, [1, 2], [1.0, float("nan")])
    with pytest.raises(UnusableNumbersError, match="row 0 of column 'outcomes' is infinite"):
        count_errors(groups, [float("inf"), 2], [1.0, 2.0])
    with pytest.raises(UnusableNumbersError, match="other than numbers"):
        count_errors(groups, ["one", 2], [1.0, 2.0])
    with pytest.raises(LengthMismatchError):
        count_errors(groups, [1], [1.0, 2.0])
    with pytest.raises(LengthMismatchError):
        count_errors(groups, None, [1.0])
    with pytest.raises(LengthMismatchError):
        separation_gap(groups, [1], [1.0, 2.0], [0])
