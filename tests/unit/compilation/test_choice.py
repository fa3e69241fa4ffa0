"""What is kept of the proven candidates, given what they cost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from compilation.choice import FEW, MANY, NOISE, WORTHWHILE, Choice, choose, crossover

COSTS = st.floats(0.1, 1e6)
TABLES = st.dictionaries(
    st.sampled_from("abcdef"), st.fixed_dictionaries({FEW: COSTS, MANY: COSTS}), min_size=1, max_size=6
)


def test_the_quickest_at_one_row_is_kept_alone_unless_another_is_far_quicker_at_many() -> None:
    costs = {"a": {1: 10.0, 1024: 130.0}, "b": {1: 50.0, 1024: 100.0}, "c": {1: 60.0, 1024: 120.0}}
    assert choose(costs) == Choice("a", "b")
    assert choose({**costs, "a": {1: 10.0, 1024: 129.0}}) == Choice("a")


def test_within_the_noise_the_first_is_preferred() -> None:
    costs = {"float64": {1: 10.5, 1024: 100.0}, "float32": {1: 10.0, 1024: 99.0}}
    assert choose(costs) == Choice("float64")
    assert choose(dict(reversed(costs.items()))) == Choice("float32")


@given(TABLES)
def test_nothing_quicker_is_passed_over(costs) -> None:
    choice = choose(costs)
    assert costs[choice.few][FEW] <= NOISE * min(cost[FEW] for cost in costs.values())
    if choice.many is None:
        assert costs[choice.few][MANY] < WORTHWHILE * NOISE * min(cost[MANY] for cost in costs.values())
    else:
        assert choice.many != choice.few
        assert costs[choice.few][MANY] >= WORTHWHILE * costs[choice.many][MANY]
    assert choose(costs) == choice


@given(st.integers(0, 10_000))
def test_the_crossing_is_the_first_power_of_two_at_which_it_is_quicker(start: int) -> None:
    asked: list[int] = []

    def is_quicker(rows: int) -> bool:
        asked.append(rows)
        return rows >= start

    expected = next((2**power for power in range(1, 14) if 2**power >= start), None)
    assert crossover(is_quicker) == expected
    assert len(asked) <= 4
