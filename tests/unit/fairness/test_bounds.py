from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from fairness.bounds import metric_bounds
from fairness.counts import GroupCounts
from fairness.disparities import Metric, measure_metric
from fairness.gate import Tolerance, Verdict
from fairness.verdicts import family_of, judge

cells = st.integers(1, 2000)
tables = st.dictionaries(
    st.sampled_from("abcd"), st.builds(GroupCounts, tp=cells, fp=cells, tn=cells, fn=cells), min_size=2
)


@settings(deadline=None)
@given(tables, st.sampled_from(Metric))
def test_the_bounds_hold_the_value_and_a_pass_is_a_bound_inside_the_limit(
    groups: dict[str, GroupCounts], metric: Metric
) -> None:
    bounds = metric_bounds(metric, groups)
    value = measure_metric(metric, groups).value
    assert bounds is not None
    assert value is not None
    assert bounds[0] - 1e-9 <= value <= bounds[1] + 1e-9
    limit = {"at_least": 0.8} if metric.is_ratio else {"at_most": 0.1}
    tolerance = Tolerance(metric=metric, attribute="g", **limit)
    verdict = judge(tolerance, groups, family_of([tolerance], {"g": groups}, 1), minimum_rows=1).verdict
    inside = bounds[0] >= 0.8 if metric.is_ratio else bounds[1] <= 0.1
    assert (verdict is Verdict.PASS) == inside


def test_fewer_than_two_groups_have_no_bounds() -> None:
    assert metric_bounds(Metric.EQUALIZED_ODDS_RATIO, {"a": GroupCounts(tp=5, fp=3, tn=2)}) is None
