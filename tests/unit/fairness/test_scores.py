from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from fairness.counts import GroupCounts, count_groups
from fairness.disparities import Metric
from fairness.errors import LengthMismatchError, UnusableNumbersError
from fairness.groups import Groups, encode
from fairness.scores import ScoreTable, count_scores, score_gaps, score_metrics, sweep


def rows(n: int = 4000, seed: int = 2) -> tuple[Groups, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    group = generator.integers(0, 3, n)
    truth = generator.random(n) < 0.4
    score = 1 / (1 + np.exp(-generator.normal(truth * (1 + group), 1.2)))
    return encode("g", np.array(["a", "b", "c"])[group]), truth.astype(int), score


def table(n: int = 4000, seed: int = 2) -> ScoreTable:
    groups, truth, score = rows(n, seed)
    return count_scores(groups, truth, score, 1)


def test_auc_and_brier_agree_with_scikit_learn() -> None:
    groups, truth, score = rows()
    found = score_metrics(table())
    for code, name in enumerate(groups.names):
        own = groups.codes == code
        assert found[name].auc.value == pytest.approx(metrics.roc_auc_score(truth[own], score[own]), abs=1e-4)
        assert found[name].brier.value == pytest.approx(metrics.brier_score_loss(truth[own], score[own]), abs=1e-12)


def test_calibration_error_is_that_of_ten_equal_bins() -> None:
    groups, truth, score = rows()
    own = groups.codes == 0
    place = np.minimum((score[own] * 10).astype(int), 9)
    oracle = sum(abs((score[own] - truth[own])[place == each].sum()) for each in range(10)) / own.sum()
    assert score_metrics(table())["a"].ece.value == pytest.approx(oracle)


def test_the_interval_of_auc_holds_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(6)
    truth = np.repeat([0, 1], [80, 40])
    everyone = Groups(np.zeros(120, dtype=np.intp), ("a",))
    held = 0
    for _ in range(500):
        score = 1 / (1 + np.exp(-generator.normal(truth, 1)))
        found = score_metrics(count_scores(everyone, truth, score, 1))["a"].auc
        assert found.lower is not None
        assert found.upper is not None
        held += found.lower <= 0.76025 <= found.upper  # of two normals one apart: Phi(1 / sqrt 2)
    assert 0.92 <= held / 500 <= 0.98


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1000), st.floats(0, 1), st.sampled_from([0, 1, None])), min_size=1),
)
def test_counts_at_a_threshold_are_those_of_comparing_each_score(
    table_rows: list[tuple[int, float, int | None]],
) -> None:
    """Scores on an edge too: 0.57 * 1000 is 569.99... in binary."""
    score = np.array([step / 1000 for step, _, _ in table_rows] + [free for _, free, _ in table_rows])
    truth = [label for _, _, label in table_rows] * 2
    groups = encode("g", ["a", "b"] * len(table_rows))
    counted = count_scores(groups, truth, score, 1)
    for step in (0, 1, 57, 290, 500, 570, 999, 1000):
        expected = count_groups(groups, truth, (score >= step / 1000).astype(int), 1)
        assert counted.at(step / 1000) == expected


def test_tables_of_two_windows_add_up() -> None:
    groups, truth, score = rows()
    first = np.arange(len(score)) < 1500
    whole, parts = count_scores(groups, truth, score, 1), []
    for own in (first, ~first):
        parts.append(count_scores(Groups(groups.codes[own], groups.names), truth[own], score[own], 1))
    both = parts[0] + parts[1]
    assert np.array_equal(both.rows, whole.rows)
    assert score_metrics(both)["b"].brier.value == pytest.approx(score_metrics(whole)["b"].brier.value)
    other = count_scores(encode("g", ["z"]), [1], [0.5], 1)
    assert (whole + other).at(0.5)["z"] == GroupCounts(tp=1)


def test_outcomes_of_one_kind_leave_everything_undefined_with_the_reason() -> None:
    counted = count_scores(encode("g", ["a", "b", "c"]), [1, 0, None], [0.5, 0.2, 0.1], 1)
    found = score_metrics(counted)
    assert [found[name].auc.reason for name in "abc"] == [
        "the group has no actual negatives",
        "the group has no actual positives",
        "no outcomes are known",
    ]
    assert found["a"].brier.value is None
    assert score_gaps(counted)["auc_difference"].value is None


def test_gaps_name_their_groups_and_leave_small_ones_out() -> None:
    gap = score_gaps(table())["auc_difference"]
    assert (gap.highest, gap.lowest) == ("c", "a")
    assert gap.value is not None
    assert gap.value > 0.1
    assert score_gaps(table(), minimum_rows=10_000)["ece_difference"].value is None


def test_perfect_ranking_has_no_interval() -> None:
    found = score_metrics(count_scores(encode("g", ["a"] * 4), [0, 0, 1, 1], [0.1, 0.2, 0.8, 1.0], 1))["a"].auc
    assert (found.value, found.lower) == (1.0, None)


def test_a_sweep_shows_every_threshold() -> None:
    points = sweep(
        table(), [Metric.DEMOGRAPHIC_PARITY_DIFFERENCE, Metric.DEMOGRAPHIC_PARITY_RATIO], [0.0, 0.5, 1.0]
    )
    assert points[0].values[Metric.DEMOGRAPHIC_PARITY_DIFFERENCE] == 0.0
    assert points[2].values[Metric.DEMOGRAPHIC_PARITY_RATIO] is None
    groups, truth, score = rows()
    assert points[1].accuracy == pytest.approx(metrics.accuracy_score(truth, score >= 0.5))
    assert sweep(count_scores(groups, None, score, 1), [], [0.5])[0].accuracy is None


@pytest.mark.parametrize("wrong", [float("nan"), -0.1, 1.1, float("inf")])
def test_a_score_that_is_no_probability_is_refused_by_its_row(wrong: float) -> None:
    with pytest.raises(UnusableNumbersError, match="row 1 of column 'scores'"):
        count_scores(encode("g", ["a", "a"]), None, [0.5, wrong], 1)


def test_text_wrong_lengths_and_thresholds_between_steps_are_refused() -> None:
    groups = encode("g", ["a"])
    with pytest.raises(UnusableNumbersError, match="other than numbers"):
        count_scores(groups, None, ["high"], 1)
    with pytest.raises(LengthMismatchError):
        count_scores(groups, None, [0.1, 0.2], 1)
    with pytest.raises(LengthMismatchError):
        count_scores(groups, [1, 0], [0.1], 1)
    for threshold in (0.0005, 1.5, -0.1):
        with pytest.raises(UnusableNumbersError, match="threshold"):
            count_scores(groups, None, [0.1], 1).at(threshold)
