"""A mitigated version from table to registry: files, tags, runs, and numbers that Fairlearn has as well."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fairlearn.metrics as fl
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.metrics import accuracy_score

from fairness.rates import RateName
from inference.frames import columns_from_frame
from inference.loading import load_model
from registry.gate_record import GateRecord
from registry.mlflow_registry import MlflowRegistry
from registry.model_cache import ModelCache
from tests.fakes.biased import KINDS, biased_people, configured
from training.config import TrainingConfig
from training.data import TrainingData, load
from training.decision_version import set_threshold
from training.errors import MitigationError
from training.estimators import CLASSIFIERS
from training.mitigation import Method
from training.split import split_rows
from training.store import TrackingStore
from training.train import train
from training.trained_version import TrainedVersion
from training.vendor import mlflow_client

RATES = {
    RateName.SELECTION_RATE: fl.selection_rate,
    RateName.TRUE_POSITIVE_RATE: fl.true_positive_rate,
    RateName.FALSE_POSITIVE_RATE: fl.false_positive_rate,
    RateName.ACCURACY: accuracy_score,
}


@pytest.fixture(scope="module")
def registry(store: TrackingStore) -> MlflowRegistry:
    return MlflowRegistry(store.tracking_uri)


def made_by(
    method: str, kind: str, store: TrackingStore, folder: Path, **changes: Any
) -> tuple[TrainingConfig, TrainedVersion, TrainedVersion]:
    biased_people(4_000).to_csv(folder / "people.csv", index=False)
    asked = {
        "name": f"{kind}-{method}",
        "source": {"kind": "file", "path": folder / "people.csv"},
        "estimators": {"only": {"kind": kind, "params": KINDS[kind]}},
        "protected_as_features": True,
    }
    config = configured(method, **{**asked, **changes})
    before, after = train(config, store=store, data_folder=folder)
    return config, before, after


def held_out(config: TrainingConfig, folder: Path) -> tuple[TrainingData, Any]:
    data = load(config, folder)
    return data, split_rows(data.labels, config.split).test


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("method", list(Method))
def test_a_mitigated_version_stands_beside_the_one_it_is_the_mitigation_of(
    method: str, kind: str, store: TrackingStore, registry: MlflowRegistry, tmp_path: Path
) -> None:
    config, before, after = made_by(method, kind, store, tmp_path)
    assert (before.mitigation, before.version, after.version) == (None, "1", "2")
    change = after.mitigation
    assert change is not None
    assert (change.before.version, change.after.version) == (str(before.reference), str(after.reference))
    assert json.loads(json.dumps(after.as_json()))["mitigation"]["method"] == method

    found = registry.find(after.reference)
    tags = {key: value for key, value in found.tags.items() if "mitigation" in key}
    assert tags == {
        "fairmind.mitigation": method,
        "fairmind.mitigation.attribute": "sex",
        "fairmind.mitigation.constraint": "demographic_parity",
        "fairmind.mitigation_of": "1",
    }
    assert found.tags["fairmind.data"] == registry.find(before.reference).tags["fairmind.data"]
    assert GateRecord.from_version(found) == after.gates

    gap = "sex.demographic_parity_difference"
    assert after.metrics[gap] < 0.75 * before.metrics[gap]
    assert after.metrics["accuracy"] > before.metrics["accuracy"] - 0.1
    _same_as_fairlearn(config, before, after, registry, tmp_path)


def _same_as_fairlearn(
    config: TrainingConfig, before: TrainedVersion, after: TrainedVersion, registry: MlflowRegistry, folder: Path
) -> None:
    """Hold both sides of the comparison to Fairlearn's MetricFrame of what the registered files answer."""
    data, test = held_out(config, folder)
    truth = data.labels.values[test] == "yes"
    sex = data.protected["sex"][test]
    known = np.array([value is not None for value in sex])
    assert after.mitigation is not None
    for version, side in ((before, after.mitigation.before), (after, after.mitigation.after)):
        registry.download(registry.find(version.reference), folder / version.version)
        served = load_model(folder / version.version / "fairmind")
        rows = data.table.iloc[test]
        columns, count = columns_from_frame(rows, served.signature)
        answer = served.predict(columns, count)
        decided = answer.prediction == "yes"
        assert _as_registered(folder / version.version, rows).tolist() == answer.prediction.tolist()

        frame = fl.MetricFrame(
            metrics={str(rate): of for rate, of in RATES.items()},
            y_true=truth[known],
            y_pred=decided[known],
            sensitive_features=sex[known],
        )
        for group in side.fairness.groups:
            if group.group == "unknown":
                continue
            for rate in RATES:
                measured = getattr(group, rate)
                assert measured.value == pytest.approx(frame.by_group.loc[group.group, str(rate)], abs=1e-12)
                assert measured.lower <= measured.value <= measured.upper
        values = {disparity.metric: disparity for disparity in side.fairness.disparities}
        asked = (truth[known], decided[known])
        for metric, of in {
            "demographic_parity_difference": fl.demographic_parity_difference,
            "demographic_parity_ratio": fl.demographic_parity_ratio,
            "equalized_odds_difference": fl.equalized_odds_difference,
            "equal_opportunity_difference": fl.equal_opportunity_difference,
        }.items():
            one = values[metric]
            assert one.value == pytest.approx(of(*asked, sensitive_features=sex[known]), abs=1e-12)
            assert one.lower is not None
            assert one.upper is not None
            assert one.lower <= one.value <= one.upper
        assert side.quality["accuracy"] == pytest.approx(accuracy_score(truth, decided), abs=1e-12)


def _as_registered(folder: Path, rows: pd.DataFrame) -> Any:
    """Return what the model in MLflow answers, loaded by scikit-learn and holding library classes only."""
    trusted = sorted({name for kind in CLASSIFIERS.values() for name in kind.trusted_types})
    assert set(skops.io.get_untrusted_types(file=folder / "model.skops")) <= set(trusted)
    return skops.io.load(folder / "model.skops", trusted=trusted).predict(rows)


def test_the_run_of_a_mitigation_says_what_changed(store: TrackingStore, tmp_path: Path) -> None:
    _, before, after = made_by("threshold", "logistic_regression", store, tmp_path, name="told-mitigated")
    client = mlflow_client(store.tracking_uri, None)
    run = client.get_run(after.run_id)

    assert run.data.params["mitigation.method"] == "threshold"
    assert run.data.params["mitigation.of"] == "told-mitigated/1"
    assert run.data.params["estimator"] == "logistic_regression"
    assert run.data.tags["fairmind.mitigation"] == "threshold"
    numbers = run.data.metrics
    for name in ("accuracy", "roc_auc", "sex.demographic_parity_difference"):
        assert numbers[f"before.{name}"] == before.metrics[name]
        assert numbers[name] == after.metrics[name]
        assert numbers[f"change.{name}"] == pytest.approx(after.metrics[name] - before.metrics[name])
    for group in ("f", "m"):
        assert {f"{when}sex.group.{group}.selection_rate" for when in ("", "before.", "change.")} <= set(numbers)
    told = json.loads(Path(client.download_artifacts(after.run_id, "fairness/mitigation.json")).read_text())
    assert set(told["details"]["thresholds"]) == {"f", "m"}
    assert told["before"]["fairness"]["groups"][0]["selection_rate"]["lower"] is not None
    first = client.get_run(before.run_id)
    assert not [
        name for name in (*first.data.params, *first.data.metrics) if "mitigation" in name or "before" in name
    ]


def test_a_mitigated_version_can_be_given_another_threshold(
    store: TrackingStore, registry: MlflowRegistry, tmp_path: Path
) -> None:
    for method in ("exponentiated-gradient", "threshold"):
        _, _, after = made_by(method, "logistic_regression", store, tmp_path, name=f"set-{method}")
        made = set_threshold(
            after.reference, 0.4, registry=registry, cache=ModelCache(tmp_path / "cache"), store=store, actor="me"
        )
        assert registry.find(made.reference).tags["fairmind.mitigation"] == method
        gap = "sex.demographic_parity_difference"
        assert made.metrics[gap] >= 0


def test_what_cannot_be_mitigated_is_said_before_anything_is_stored(
    store: TrackingStore, registry: MlflowRegistry, tmp_path: Path
) -> None:
    with pytest.raises(MitigationError, match="the attribute is no feature"):
        made_by(
            "threshold", "logistic_regression", store, tmp_path, name="never-mitigated", protected_as_features=False
        )
    assert "never-mitigated" not in registry.names()
