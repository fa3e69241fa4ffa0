from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fairlearn.metrics import demographic_parity_difference, true_positive_rate_difference
from fairlearn.reductions import DemographicParity, ExponentiatedGradient
from sklearn.base import clone
from sklearn.dummy import DummyClassifier

from tests.fakes.biased import all_to_train, biased_people, configured, trained
from training import gradient_mixture
from training.data import TrainingData
from training.gradient_mixture import _as_member, fit_mixture
from training.made_estimators import mixture
from training.mitigated_rows import MitigatedRows
from training.mitigation import Constraint


def learned(favourable: str = "yes") -> tuple[TrainingData, MitigatedRows]:
    return all_to_train(
        biased_people(4_000),
        configured("exponentiated-gradient", favourable=favourable, protected_as_features=True),
    )


def gap(data: TrainingData, rows: MitigatedRows, pipeline: Any) -> float:
    known = rows.is_known
    decided = pipeline.predict(data.table)[known] == "yes"
    return float(
        demographic_parity_difference(rows.is_second[known], decided, sensitive_features=rows.names[known])
    )


@pytest.mark.parametrize("kind", ["logistic_regression", "gradient_boosting"])
def test_the_mixture_evens_out_what_it_was_asked_to_and_answers_the_same_each_time(kind: str) -> None:
    data, rows = learned()
    before = trained(kind, data)
    after, weights, notes = fit_mixture("m", before, data.table, rows, Constraint.DEMOGRAPHIC_PARITY)

    assert gap(data, rows, after) < 0.5 * gap(data, rows, before)
    assert sum(weights) == pytest.approx(1, abs=1e-5)
    assert notes[-1] == f"{(~rows.is_known).sum()} rows whose sex is not known were left out of the mitigation"
    assert set(after.predict(data.table)) == {"yes", "no"}
    assert (after.predict_proba(data.table) == after.predict_proba(data.table)).all()
    members = after.named_steps["model"].estimators_
    features = after.named_steps["preprocess"].transform(data.table)
    expected = np.average([member.predict_proba(features) for member in members], axis=0, weights=weights)
    np.testing.assert_allclose(after.predict_proba(data.table), expected, atol=1e-12)


def test_a_search_that_reaches_its_limit_mixes_what_it_has_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    data, rows = learned()
    before = trained("logistic_regression", data)
    monkeypatch.setattr(gradient_mixture, "MOST_TRAININGS", 4)
    after, weights, notes = fit_mixture("m", before, data.table, rows, Constraint.DEMOGRAPHIC_PARITY)

    assert "the search for models to mix ended at 4 trainings, its limit" in notes
    assert 1 <= len(weights) <= 4
    assert sum(weights) == pytest.approx(1, abs=1e-5)
    assert gap(data, rows, after) < gap(data, rows, before)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Fairlearn's own, about pandas
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_mixture_is_what_fairlearn_finds_by_itself() -> None:
    data, rows = learned()
    before = trained("logistic_regression", data)
    after, weights, _ = fit_mixture("m", before, data.table, rows, Constraint.DEMOGRAPHIC_PARITY)
    known = rows.is_known
    features = before.named_steps["preprocess"].transform(data.table[known])
    theirs = ExponentiatedGradient(clone(before.named_steps["model"]), DemographicParity())
    theirs.fit(
        features.toarray() if hasattr(features, "toarray") else features,
        rows.is_second[known].astype(int),
        sensitive_features=rows.names[known],
    )

    assert weights == pytest.approx([weight for weight in theirs.weights_ if weight > 1e-6], abs=1e-3)
    selected = theirs._pmf_predict(features.toarray() if hasattr(features, "toarray") else features)[:, 1]
    members = after.named_steps["model"].estimators_
    drawn = np.average([member.predict(features) for member in members], axis=0, weights=weights)
    assert np.abs(drawn - selected).max() < 1e-3


@pytest.mark.parametrize("favourable", ["yes", "no"])
def test_equal_opportunity_is_about_those_who_deserve_the_favourable_label(favourable: str) -> None:
    data, rows = learned(favourable)
    before = trained("logistic_regression", data)
    after, _, _ = fit_mixture("m", before, data.table, rows, Constraint.EQUAL_OPPORTUNITY)
    known = rows.is_known
    apart = [
        true_positive_rate_difference(
            rows.is_favourable[known],
            pipeline.predict(data.table)[known] == favourable,
            sensitive_features=rows.names[known],
        )
        for pipeline in (before, after)
    ]
    assert apart[1] < 0.6 * apart[0]


@pytest.mark.parametrize("constant", [0, 1])
def test_a_member_that_always_says_the_same_is_a_model_that_does(constant: int) -> None:
    features = np.random.default_rng(0).normal(size=(20, 3))
    never = DummyClassifier(strategy="constant", constant=constant).fit(features, [constant] * 20)
    member = _as_member(never, 3)
    assert (member.predict(features) == constant).all()
    mixed = mixture([member, member], [0.25, 0.75], np.array(["no", "yes"]))
    assert (mixed.predict(features) == ["no", "yes"][constant]).all()
    assert mixed.predict_proba(features)[:, 1] == pytest.approx(np.full(20, float(constant)), abs=1e-15)
