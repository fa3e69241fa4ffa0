from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from fairlearn import metrics as fairlearn_metrics

from registry.gate_record import GateKind, GateVerdict
from training.config import TrainingConfig
from training.data import TrainingData, prepare
from training.errors import DataError
from training.estimators import build, default_estimators, fit
from training.evaluation import Evaluation, evaluate
from training.gates import gate_results
from training.plots import figures
from training.policy import Gates


def _evaluated(
    people: pd.DataFrame, gates: dict[str, Any] | None = None, **changes: Any
) -> tuple[TrainingData, Evaluation, Gates]:
    people["three"] = np.where(people["age"] > 60, "old", np.where(people["age"] > 35, "middle", "young"))
    content = {
        "name": "m",
        "source": {"kind": "file", "path": "t.csv"},
        "label": "y",
        "gates": gates or {},
        **changes,
    }
    config = TrainingConfig.parse(content, where="test")
    data = prepare(people.dropna(subset=config.label), config)
    estimator = next(iter(default_estimators(data.labels.task).values()))
    pipeline = build(
        "e",
        estimator,
        task=data.labels.task,
        features=data.features,
        unknown=config.unknown_categories,
        seed=0,
    )
    fit("e", pipeline, data.table, data.labels.values)
    return data, evaluate(pipeline, data, np.arange(0, 500), config.gates), config.gates


def test_bias_is_measured_as_fairlearn_does(people: pd.DataFrame) -> None:
    data, evaluation, _ = _evaluated(people, protected=["sex"])
    truth, predicted = evaluation.truth == "yes", evaluation.predicted == "yes"
    sex = data.protected["sex"][:500]
    numbers = evaluation.numbers()

    for name in ("demographic_parity_difference", "equal_opportunity_difference", "equalized_odds_difference"):
        expected = getattr(fairlearn_metrics, name)(truth, predicted, sensitive_features=sex)
        assert numbers[f"sex.{name}"] == pytest.approx(expected)
    assert 0.5 < numbers["roc_auc"] <= 1.0
    assert numbers["accuracy"] == pytest.approx(np.mean(truth == predicted))


def test_only_what_is_configured_gates_and_the_rest_is_reported(people: pd.DataFrame) -> None:
    metric = "equal_opportunity_difference"
    gates = {
        "quality": [{"metric": "accuracy", "at_least": 0.999}, {"metric": "brier", "at_most": 0.25}],
        "bias": [{"metric": metric, "attribute": "sex", "at_most": 0.1, "gating": False}],
    }
    _, evaluation, policy = _evaluated(people, gates, protected=["sex"])
    accuracy, brier, bias = gate_results(evaluation, policy)

    assert (accuracy.kind, accuracy.verdict, accuracy.refuses) == (GateKind.QUALITY, GateVerdict.FAIL, True)
    assert (brier.verdict, brier.refuses) == (GateVerdict.PASS, False)
    assert (bias.kind, bias.metric, bias.attribute) == (GateKind.BIAS, metric, "sex")
    assert not bias.refuses
    assert bias.message.startswith(f"{metric} on sex is ")


def test_without_gates_nothing_gates(people: pd.DataFrame) -> None:
    _, evaluation, policy = _evaluated(people, protected=["sex"])

    assert evaluation.bias is not None
    assert gate_results(evaluation, policy) == ()


def test_a_gate_on_what_cannot_be_measured_is_an_error(people: pd.DataFrame) -> None:
    bias = {"bias": [{"metric": "demographic_parity_ratio", "attribute": "sex", "at_least": 0.8}]}
    for gates in ({"quality": [{"metric": "roc_auc", "at_least": 0.5}]}, bias):
        _, evaluation, policy = _evaluated(people, gates, label="income", protected=["sex"])
        with pytest.raises(DataError, match=r"cannot be measured|need classes"):
            gate_results(evaluation, policy)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"protected": ["sex", "age"]}, ["roc_and_calibration.png", "rates_by_sex.png", "rates_by_age.png"]),
        ({"label": "three", "exclude": ["age"]}, ["confusion.png"]),
        ({"label": "three", "protected": ["sex"], "favourable": "old"}, ["confusion.png", "rates_by_sex.png"]),
        ({"label": "income"}, ["predicted_and_true.png"]),
    ],
)
def test_every_task_has_its_pictures(
    people: pd.DataFrame, changes: dict[str, Any], names: list[str], tmp_path: Any
) -> None:
    data, evaluation, _ = _evaluated(people, **changes)
    drawn = dict(figures(evaluation, data.labels, "a $title$"))

    assert list(drawn) == names
    for name, figure in drawn.items():
        figure.savefig(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
