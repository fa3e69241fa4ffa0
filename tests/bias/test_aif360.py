"""AIF360 is the oracle of what Fairlearn does not have, from an environment of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fairness.counts import GroupCounts, count_groups
from fairness.groups import encode
from fairness.individual import consistency, generalized_entropy_index, theil_index
from fairness.reference import compare
from fairness.reweighing import reweigh
from tests import environments

pytestmark = pytest.mark.long

AIF360 = Path(__file__).with_name("aif360")
OUR_NAMES = {
    "statistical_parity_difference": "statistical_parity_difference",
    "disparate_impact": "disparate_impact",
    "equal_opportunity_difference": "equal_opportunity_difference_vs_reference",
    "average_odds_difference": "average_odds_difference",
    "average_abs_odds_difference": "average_abs_odds_difference",
}


def table(seed: int, rows: int = 400) -> dict[str, Any]:
    """Return people of two groups, the second one favoured; decisions lean to the truth."""
    draw = np.random.default_rng(seed)
    group = (draw.random(rows) < draw.uniform(0.2, 0.8)).astype(int)
    truth = (draw.random(rows) < 0.3 + 0.2 * group).astype(int)
    decided = np.where(draw.random(rows) < 0.75, truth, draw.random(rows) < 0.4 + 0.1 * group).astype(int)
    features = {name: draw.normal(size=rows).tolist() for name in "abc"}
    return {"group": group.tolist(), "truth": truth.tolist(), "decided": decided.tolist(), "features": features}


TABLES = [table(seed) for seed in range(12)]


@pytest.fixture(scope="module")
def said() -> Any:
    """What AIF360 says of each table."""
    return environments.asked(AIF360, TABLES)


def counted(one: dict[str, Any]) -> dict[str, GroupCounts]:
    return dict(count_groups(encode("group", one["group"]), one["truth"], one["decided"], 1))


@pytest.mark.parametrize("place", range(len(TABLES)))
def test_signed_comparisons_with_a_reference_are_those_of_aif360(said: Any, place: int) -> None:
    found = {str(one.metric): one.value for one in compare(counted(TABLES[place]), "1") if one.group == "0"}
    for theirs, ours in OUR_NAMES.items():
        assert found[ours] == pytest.approx(said[place][theirs], abs=1e-12), theirs


@pytest.mark.parametrize("place", range(len(TABLES)))
def test_indices_of_benefit_are_those_of_aif360(said: Any, place: int) -> None:
    groups = counted(TABLES[place]).values()
    assert theil_index(groups).value == pytest.approx(said[place]["theil_index"], abs=1e-12)
    entropy = generalized_entropy_index(groups).value
    assert entropy == pytest.approx(said[place]["generalized_entropy_index"], abs=1e-12)


@pytest.mark.parametrize("place", range(len(TABLES)))
def test_consistency_over_the_same_features_is_that_of_aif360(said: Any, place: int) -> None:
    one = TABLES[place]
    # AIF360 counts the protected attribute among the features.
    features = np.array([one["group"], *one["features"].values()], dtype=np.float64).T
    assert consistency(features, one["decided"]) == pytest.approx(said[place]["consistency"], abs=1e-12)


@pytest.mark.parametrize("place", range(len(TABLES)))
def test_weights_of_reweighing_are_those_of_aif360(said: Any, place: int) -> None:
    one = TABLES[place]
    weights = reweigh(encode("group", one["group"]), np.array(one["truth"], dtype=np.bool_))
    assert weights == pytest.approx(np.array(said[place]["weights"]), abs=1e-12)
