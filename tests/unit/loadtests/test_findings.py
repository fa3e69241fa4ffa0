import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.bench.findings import (
    at_least,
    at_most,
    marginal_growth,
    median_ratio,
    not_measured,
    overload_bound,
    refusal_cost,
)


def test_a_figure_at_its_limit_meets_it_and_one_beyond_says_by_how_much() -> None:
    assert (at_most("p99", 8.0, 8.0).met, at_least("goodput", 0.9, 0.9).met) == (True, True)
    missed = at_most("p99", 10.0, 8.0, " ms")
    assert (missed.verdict, missed.target, missed.measured) == ("**missed**", "≤ 8 ms", "10 ms (25 % over)")
    short = at_least("ratio", 4.0, 5.0, " ×")
    assert (short.met, short.measured) == (False, "4 × (20 % short)")


def test_a_limit_of_zero_allows_nothing_and_does_not_divide_by_it() -> None:
    assert at_most("failures", 0, 0).met
    assert at_most("failures", 1, 0).measured == "1"


def test_what_was_not_measured_is_neither_met_nor_missed_and_keeps_its_reason() -> None:
    finding = not_measured("ratio", "≥ 5 ×", "it cannot be installed")
    assert (finding.met, finding.verdict, finding.measured) == (None, "**not measured**", "it cannot be installed")


@given(st.lists(st.tuples(st.floats(1.0, 1e4), st.floats(0.1, 10.0)), min_size=1))
def test_a_slow_minute_that_hits_both_of_a_pair_leaves_its_ratio_alone(pairs: list[tuple[float, float]]) -> None:
    theirs = [rate * slowness for rate, slowness in pairs]
    assert median_ratio([4 * rate for rate in theirs], theirs) == pytest.approx(4)


@given(st.floats(0.0, 1.0, exclude_max=True))
def test_the_bound_spends_all_capacity_on_twice_the_load_or_serves_nothing(share: float) -> None:
    bound = overload_bound(share)
    assert 0 <= bound <= 1
    if bound:
        assert bound + share * (2 - bound) == pytest.approx(1)
    else:
        assert share >= 0.5


def test_a_refusal_dearer_than_an_answer_leaves_nothing() -> None:
    assert overload_bound(1.0) == overload_bound(3.0) == 0.0


def test_a_refusal_costs_what_served_requests_leave_and_never_less_than_nothing() -> None:
    assert refusal_cost(1.0, served=4, refused=10, cost_of_served=0.2) == pytest.approx(0.02)
    assert refusal_cost(1.0, served=10, refused=10, cost_of_served=0.2) == 0.0
    assert refusal_cost(1.0, served=5, refused=0, cost_of_served=0.2) is None


@given(fixed=st.floats(0.0, 1e3), each=st.floats(0.01, 10.0))
def test_linear_growth_is_one_whatever_the_fixed_part(fixed: float, each: float) -> None:
    costs = {size: fixed + each * size for size in (10, 50, 100, 500)}
    assert marginal_growth(costs) == pytest.approx(1.0, rel=1e-3)


def test_quadratic_growth_is_more_than_linear() -> None:
    assert marginal_growth({size: float(size**2) for size in (10, 100, 500)}) > 5
