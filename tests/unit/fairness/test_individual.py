from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from fairness.counts import GroupCounts
from fairness.errors import LengthMismatchError
from fairness.individual import consistency, generalized_entropy_index, theil_index

cells = st.integers(0, 60)


@settings(deadline=None)
@given(st.lists(st.builds(GroupCounts, tp=cells, fp=cells, tn=cells, fn=cells), min_size=1, max_size=4))
def test_indices_from_counts_are_those_from_the_rows(groups: list[GroupCounts]) -> None:
    total = sum(groups, GroupCounts())
    benefit = np.repeat([2.0, 1.0, 0.0], [total.fp, total.tp + total.tn, total.fn])
    if not len(benefit) or not benefit.any():
        assert theil_index(groups).value is None
        assert theil_index(groups).reason
        return
    share = benefit / benefit.mean()
    positive = share[share > 0]
    assert theil_index(groups).value == pytest.approx((positive * np.log(positive)).sum() / len(share), abs=1e-12)
    assert generalized_entropy_index(groups).value == pytest.approx(((share**2 - 1) / 2).mean(), abs=1e-12)
    deviation = generalized_entropy_index(groups, alpha=0)
    if total.fn:
        assert deviation.value is None
    else:
        assert deviation.value == pytest.approx(-np.log(share).mean(), abs=1e-12)


def test_right_decisions_for_all_are_spread_evenly() -> None:
    assert theil_index([GroupCounts(tp=5, tn=9)]).value == 0.0


@pytest.mark.parametrize("dimensions", [2, 20])
def test_consistency_agrees_with_scikit_learns_neighbours(dimensions: int) -> None:
    generator = np.random.default_rng(dimensions)
    features = generator.normal(size=(700, dimensions))
    decisions = (features[:, 0] + generator.normal(size=700) > 0).astype(float)
    nearest = NearestNeighbors(n_neighbors=5).fit(features).kneighbors(features, return_distance=False)
    oracle = 1 - np.abs(decisions - decisions[nearest].mean(axis=1)).mean()
    assert consistency(features, decisions) == pytest.approx(oracle)


def test_consistency_is_one_where_neighbours_are_treated_alike() -> None:
    features = np.array([[0.0], [0.1], [9.0], [9.1]])
    assert consistency(features, [1, 1, 0, 0], k=2) == 1.0
    assert consistency(features, [1, 0, 1, 0], k=2) == 0.5
    assert consistency(features, [1, 0, 1, 0], k=1) == 1.0


def test_consistency_refuses_what_has_no_distance() -> None:
    with pytest.raises(LengthMismatchError):
        consistency([[1.0]], [1, 0])
    with pytest.raises(ValueError, match="from 1 to the number of rows"):
        consistency([[1.0]], [1], k=2)
    with pytest.raises(ValueError, match="impute"):
        consistency([[np.nan], [1.0]], [1, 0], k=1)
