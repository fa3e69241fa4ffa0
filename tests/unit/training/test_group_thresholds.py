from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fairlearn.postprocessing import ThresholdOptimizer
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator

from fairness.groups import Groups, encode
from tests.fakes.biased import KINDS, all_to_train, biased_people, configured, trained
from training.data import TrainingData
from training.group_thresholds import (
    group_thresholds,
    nearest_threshold,
    score_method,
    scores_of_others,
    with_thresholds,
)
from training.mitigated_rows import MitigatedRows
from training.mitigation import Constraint


@pytest.fixture(scope="module")
def learned() -> tuple[TrainingData, MitigatedRows]:
    return all_to_train(biased_people(2_000), configured("threshold", protected_as_features=True))


def drawn_rows(seed: int, rows: int = 600, *, ties: bool = False) -> tuple[np.ndarray, MitigatedRows]:
    draw = np.random.default_rng(seed)
    group = draw.choice(["a", "b", "c"], rows, p=[0.5, 0.3, 0.2])
    scores = draw.normal(0, 1, rows) + 0.5 * (group == "a")
    scores = scores.round(1) if ties else scores
    second = scores + draw.normal(0, 1, rows) > 0.3
    return scores, MitigatedRows("g", encode("g", group), second, second_is_favourable=True)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("constraint", list(Constraint))
def test_each_groups_threshold_is_as_near_to_fairlearns_lottery_as_one_threshold_can_be(
    constraint: Constraint, ties: bool
) -> None:
    scores, rows = drawn_rows(1, ties=ties)
    found = group_thresholds(scores, rows, constraint)
    chances = fairlearns_chances(scores, rows, constraint)
    for group, threshold in found.items():
        mine = rows.names == group
        wanted = rates(chances[mine], rows.is_second[mine], constraint)
        got = rates((scores[mine] > threshold).astype(float), rows.is_second[mine], constraint)
        every = [*scores[mine], scores.min() - 1]
        best = min(
            np.abs(rates((scores[mine] > one).astype(float), rows.is_second[mine], constraint) - wanted).max()
            for one in every
        )
        assert np.abs(got - wanted).max() == pytest.approx(best, abs=1e-12)


def fairlearns_chances(scores: np.ndarray, rows: MitigatedRows, constraint: Constraint) -> np.ndarray:
    """Return each row's chance by Fairlearn itself, asked ten thousand times less one formula of its own."""
    name = "true_positive_rate_parity" if constraint is Constraint.EQUAL_OPPORTUNITY else constraint.value

    class Known(BaseEstimator):
        def __sklearn_is_fitted__(self) -> bool:
            return True

        def fit(self, *_: object) -> Known:
            return self

        def predict(self, features: np.ndarray) -> np.ndarray:
            return features[:, 0]

    optimizer = ThresholdOptimizer(estimator=Known(), constraints=name, prefit=True, predict_method="predict")
    features = scores.reshape(-1, 1)
    optimizer.fit(features, rows.is_second.astype(int), sensitive_features=rows.names)
    chances: np.ndarray = optimizer._pmf_predict(features, sensitive_features=rows.names)[:, 1]
    return chances


def rates(selected: np.ndarray, second: np.ndarray, constraint: Constraint) -> np.ndarray:
    if constraint is Constraint.DEMOGRAPHIC_PARITY:
        return np.array([selected.mean()])
    found = [selected[second].mean()]
    return np.array(found if constraint is Constraint.EQUAL_OPPORTUNITY else [*found, selected[~second].mean()])


def test_where_the_first_class_is_good_its_own_rate_is_evened_out() -> None:
    scores, rows = drawn_rows(2, rows=4_000)
    turned = MitigatedRows("g", rows.groups, rows.is_second, second_is_favourable=False)
    found = group_thresholds(scores, turned, Constraint.EQUAL_OPPORTUNITY)
    kept = [
        float((scores[mine] <= found[group]).mean())
        for group in rows.groups.names
        for mine in [(rows.names == group) & ~rows.is_second]
    ]
    assert max(kept) - min(kept) < 0.01


@given(st.lists(st.tuples(st.integers(-5, 5), st.floats(0, 1)), min_size=1, max_size=40))
def test_no_other_threshold_selects_a_share_nearer_to_the_expected_one(rows: list[tuple[int, float]]) -> None:
    scores, chances = np.array([float(score) for score, _ in rows]), np.array([chance for _, chance in rows])
    found = nearest_threshold(scores, chances, [np.ones(len(rows), dtype=np.bool_)])
    wanted = chances.mean()
    apart = abs((scores > found).mean() - wanted)
    assert apart <= min(abs((scores > cut).mean() - wanted) for cut in [*scores, scores.min() - 1]) + 1e-12


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_model_decides_by_the_threshold_of_each_rows_group(
    kind: str, learned: tuple[TrainingData, MitigatedRows]
) -> None:
    data, rows = learned
    pipeline = trained(kind, data)
    method = score_method(pipeline.named_steps["model"])
    usual = 0.0 if method == "decision_function" else 0.5
    thresholds = {"f": usual - 0.3, "m": usual + 0.2}
    made = with_thresholds(pipeline, thresholds, data.table, rows)
    answer = getattr(pipeline, method)(data.table)
    scores = answer if answer.ndim == 1 else answer[:, 1]

    expected = scores > np.array([thresholds.get(name, usual) for name in rows.names])
    assert (made.predict(data.table) == np.where(expected, "yes", "no")).all()
    chances = made.predict_proba(data.table)[:, 1]
    assert ((chances > 0.5) == expected).all()
    for group in ("f", "m"):
        mine = rows.names == group
        assert (np.argsort(chances[mine], kind="stable") == np.argsort(scores[mine], kind="stable")).all()


def test_a_row_without_a_group_or_of_a_new_one_is_decided_as_before(
    learned: tuple[TrainingData, MitigatedRows],
) -> None:
    data, rows = learned
    pipeline = trained("logistic_regression", data)
    made = with_thresholds(pipeline, {"f": -3.0, "m": 3.0}, data.table, rows)
    for unknown in (None, "x"):
        asked = data.table.head(50).assign(sex=pd.Series([unknown] * 50, dtype="str", index=data.table.index[:50]))
        np.testing.assert_allclose(made.predict_proba(asked), pipeline.predict_proba(asked), atol=1e-12)


def test_a_boolean_attribute_has_thresholds_too() -> None:
    frame = biased_people(800).dropna()
    frame["sex"] = (frame["sex"] == "f").to_numpy()
    data, rows = all_to_train(frame, configured("threshold", protected_as_features=True))
    made = with_thresholds(trained("logistic_regression", data), {"True": -99.0, "False": 99.0}, data.table, rows)
    assert ((made.predict(data.table) == "yes") == frame["sex"].to_numpy()).all()


def test_scores_of_others_are_less_sure_than_a_forests_of_its_own_rows(
    learned: tuple[TrainingData, MitigatedRows],
) -> None:
    data, _ = learned
    pipeline = trained("random_forest", data)
    own = pipeline.predict_proba(data.table)[:, 1]
    others = scores_of_others(pipeline, data.table, data.labels.values, seed=0)
    truth = data.labels.values == "yes"
    assert others.shape == own.shape
    assert ((others > 0.5) == truth).mean() < ((own > 0.5) == truth).mean()
    assert (others == scores_of_others(pipeline, data.table, data.labels.values, seed=0)).all()


def test_groups_without_rows_have_no_threshold() -> None:
    scores, rows = drawn_rows(3)
    with_unknown = Groups(np.where(rows.groups.codes == 2, 2, rows.groups.codes), ("a", "b", "unknown"))
    some = MitigatedRows("g", with_unknown, rows.is_second, second_is_favourable=True)
    assert set(group_thresholds(scores, some, Constraint.DEMOGRAPHIC_PARITY)) == {"a", "b"}
