from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from inference.signature import Task
from training.config import EstimatorConfig, TrainingConfig, UnknownCategories
from training.data import TrainingData, prepare
from training.errors import EstimatorError
from training.estimators import CLASSIFIERS, REGRESSORS, available_cores, build, default_estimators, fit, kind_of


def _data(people: pd.DataFrame, label: str = "y") -> TrainingData:
    content: dict[str, Any] = {"name": "m", "source": {"kind": "file", "path": "t.csv"}, "label": label}
    return prepare(people.dropna(subset=label), TrainingConfig.parse(content, where="test"))


def _fit(data: TrainingData, kind: str, **params: Any) -> tuple[Any, list[str]]:
    config = EstimatorConfig(kind=kind, params=params)
    unknown = UnknownCategories.IGNORE
    pipeline = build("e", config, task=data.labels.task, features=data.features, unknown=unknown, seed=3)
    return pipeline, fit("e", pipeline, data.table, data.labels.values)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_every_classifier_of_the_menu_learns_a_strangers_table(people: pd.DataFrame, kind: str) -> None:
    data = _data(people)
    pipeline, notes = _fit(data, kind)

    assert pipeline.score(data.table, data.labels.values) > 0.7
    assert notes == []


@pytest.mark.parametrize("kind", REGRESSORS)
def test_every_regressor_of_the_menu_learns_a_strangers_table(people: pd.DataFrame, kind: str) -> None:
    data = _data(people, "income")

    assert _fit(data, kind)[0].score(data.table, data.labels.values) > 0.2


def test_the_seed_makes_training_repeatable_and_params_may_overrule_it(people: pd.DataFrame) -> None:
    data = _data(people)
    first, second = (_fit(data, "random_forest", n_estimators=5)[0] for _ in range(2))

    assert (first.predict_proba(data.table) == second.predict_proba(data.table)).all()
    assert _fit(data, "random_forest", n_estimators=5, random_state=9)[0]["model"].random_state == 9


@pytest.mark.parametrize(
    ("config", "task", "reason"),
    [
        (
            EstimatorConfig(kind="oracle"),
            Task.BINARY,
            "does not do classification; choose one of logistic_regression",
        ),
        (EstimatorConfig(kind="ridge"), Task.BINARY, "does not do classification"),
        (EstimatorConfig(kind="logistic_regression"), Task.REGRESSION, "does not do regression"),
        (EstimatorConfig(kind="ridge", params={"alfa": 1}), Task.REGRESSION, "no parameter 'alfa'; it has alpha"),
    ],
)
def test_what_is_not_on_the_menu_is_refused(config: EstimatorConfig, task: Task, reason: str) -> None:
    with pytest.raises(EstimatorError, match=reason):
        kind_of("e", config, task)


def test_a_value_that_scikit_learn_refuses_is_one_line(people: pd.DataFrame) -> None:
    with pytest.raises(EstimatorError, match="max_iter") as caught:
        _fit(_data(people), "gradient_boosting", max_iter=-1)

    assert "\n" not in str(caught.value)


def test_a_solver_that_stops_early_is_noted(people: pd.DataFrame) -> None:
    _, notes = _fit(_data(people), "logistic_regression", max_iter=1)

    assert notes == ["estimator 'e' stopped before it converged; give it more iterations (max_iter)"]


@pytest.mark.parametrize("task", Task)
def test_the_default_estimators_are_on_the_menu(task: Task) -> None:
    for name, config in default_estimators(task).items():
        assert kind_of(name, config, task).estimator


def test_there_is_a_core_to_run_on() -> None:
    assert available_cores() >= 1
