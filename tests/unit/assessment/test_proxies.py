"""Proxies: what tells the attribute is found, what does not is not, and too little to learn from is no answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from assessment.proxies import ROWS, drawn, proxy_report

RANDOM = np.random.default_rng(7)
N = 1_200
SEX = RANDOM.choice(["f", "m"], N).tolist()
NOISE = RANDOM.normal(size=N).tolist()


def hinted(share: float) -> list[str]:
    """Return a feature that agrees with the attribute in this share of the rows."""
    return [sex if RANDOM.random() < share else "fm"[int(RANDOM.random() < 0.5)] for sex in SEX]


def test_a_feature_that_says_the_attribute_is_the_strongest_and_tells_all() -> None:
    found = proxy_report("sex", SEX, {"noise": NOISE, "title": ["Ms" if sex == "f" else "Mr" for sex in SEX]})
    assert [proxy.feature for proxy in found.features] == ["title", "noise"]
    assert found.together.balanced_accuracy == 1.0
    assert (found.together.upper, found.together.guessing, set(found.together.groups)) == (1.0, 0.5, {"f", "m"})


def test_features_that_say_nothing_are_guesses() -> None:
    together = proxy_report("sex", SEX, {"noise": NOISE, "more": RANDOM.integers(0, 5, N).tolist()}).together
    assert together.lower is not None
    assert together.upper is not None
    assert together.lower < 0.54
    assert together.upper > 0.46


def test_weak_features_tell_more_together_than_the_strongest_alone() -> None:
    weak = {f"hint{number}": hinted(0.4) for number in range(8)}
    alone = proxy_report("sex", SEX, {"hint0": weak["hint0"]}).together
    together = proxy_report("sex", SEX, weak).together
    assert alone.upper is not None
    assert together.lower is not None
    assert together.lower > alone.upper


def test_a_large_group_does_not_hide_that_nothing_is_told() -> None:
    rare = ["f" if index % 20 == 0 else "m" for index in range(N)]
    together = proxy_report("sex", rare, {"noise": NOISE}).together
    assert together.balanced_accuracy == pytest.approx(0.5, abs=0.1)  # naming "m" always is right in 95 % of rows


def test_of_many_groups_the_largest_are_told_apart() -> None:
    regions = [str(index % 12) if index % 40 else "0" for index in range(N)]
    together = proxy_report("region", regions, {"noise": NOISE}).together
    assert (len(together.groups), together.groups[0], together.guessing) == (10, "0", 0.1)


def test_the_attribute_itself_is_no_proxy_of_itself() -> None:
    found = proxy_report("sex", SEX, {"sex": SEX, "noise": NOISE})
    assert [proxy.feature for proxy in found.features] == ["noise"]


@pytest.mark.parametrize(
    ("values", "features", "reason"),
    [
        (["f"] * N, {"noise": NOISE}, "fewer than two groups have 30 rows"),
        (["f"] * (N - 29) + ["m"] * 29, {"noise": NOISE}, "fewer than two groups have 30 rows"),
        ([None] * N, {"noise": NOISE}, "fewer than two groups have 30 rows"),
        (SEX, {}, "there are no other features"),
        (SEX, {"sex": SEX}, "there are no other features"),
        (SEX, {"empty": [None] * N}, "all values of the other features are missing"),
    ],
)
def test_too_little_to_learn_from_is_undefined_with_a_reason(values: Any, features: Any, reason: str) -> None:
    together = proxy_report("sex", values, features).together
    assert (together.balanced_accuracy, together.reason) == (None, reason)


def test_odd_values_are_missing_ones_or_texts() -> None:
    odd = {
        "endless": [float("inf"), 10**400, None, 1.0] * (N // 4),
        "mixed": ["a", 1, None, True] * (N // 4),
        "nested": [[1], {"a": 1}, None, "x"] * (N // 4),
    }
    found = proxy_report("sex", SEX, odd)
    assert found.together.balanced_accuracy is not None
    assert next(proxy for proxy in found.features if proxy.feature == "nested").cramers_v is None


def test_many_rows_are_drawn_the_same_ones_each_time_and_few_are_taken_all() -> None:
    many = drawn(ROWS + 5, np.random.default_rng(0))
    assert len(set(many.tolist())) == ROWS
    assert (np.diff(many) > 0).all()
    assert (many == drawn(ROWS + 5, np.random.default_rng(0))).all()
    assert drawn(3, np.random.default_rng(0)).tolist() == [0, 1, 2]
