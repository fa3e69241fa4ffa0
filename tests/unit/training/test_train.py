from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io

import training.artifact
from compilation.parity import Proof
from inference.errors import CompileError, ParityError
from inference.frames import columns_from_frame
from inference.loading import load_model
from inference.signature import Task
from registry.digest import digest_folder
from registry.gate_record import GateRecord
from registry.mlflow_registry import MlflowRegistry
from sources.named import german_credit
from training.config import EstimatorConfig, TrainingConfig
from training.errors import DataError, EstimatorError, NotServableError
from training.estimators import CLASSIFIERS
from training.provenance import code_commit, git_commit
from training.store import TrackingStore
from training.train import train
from training.trained_version import TrainedVersion
from training.vendor import mlflow_client

QUICK = {
    "logistic": EstimatorConfig(kind="logistic_regression"),
    "boosted": EstimatorConfig(kind="gradient_boosting", params={"max_iter": 5}),
}


@pytest.fixture(scope="module")
def registry(store: TrackingStore) -> MlflowRegistry:
    return MlflowRegistry(store.tracking_uri)


def _train(store: TrackingStore, folder: Path, config: TrainingConfig, **changes: Any) -> list[TrainedVersion]:
    return train(config.model_copy(update=changes), store=store, data_folder=folder / "data")


def test_a_strangers_table_becomes_two_versions(
    people_csv: Path, people: pd.DataFrame, store: TrackingStore, registry: MlflowRegistry, tmp_path: Path
) -> None:
    told: list[tuple[str, float]] = []
    config = TrainingConfig.for_table(people_csv, "y", ["sex"]).model_copy(update={"estimators": QUICK})
    versions = train(
        config, store=store, data_folder=tmp_path, progress=lambda what, part: told.append((what, part))
    )

    assert [(v.name, v.version, v.estimator) for v in versions] == [
        ("my-people", "1", "logistic"),
        ("my-people", "2", "boosted"),
    ]
    assert [str(v.reference) for v in versions] == ["my-people/1", "my-people/2"]
    fractions = [part for _, part in told]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert json.loads(json.dumps(versions[0].as_json()))["refused_by"] == []

    for trained in versions:
        assert trained.metrics["roc_auc"] > 0.7
        assert "sex.demographic_parity_difference" in trained.metrics
        assert "the favourable label is assumed to be 'yes'" in trained.notes
        found = registry.find(trained.reference)
        assert GateRecord.from_version(found) == trained.gates == GateRecord(digest=found.digest or "")
        assert found.tags["fairmind.favourable"] == '"yes"'
        assert json.loads(found.tags["fairmind.protected"]) == ["sex"]
        _check_files(registry, trained, people, tmp_path / trained.version)


def _check_files(registry: MlflowRegistry, trained: TrainedVersion, people: pd.DataFrame, folder: Path) -> None:
    """Hold what was registered to its digest, its list of types, and the answers of the model it came from."""
    found = registry.find(trained.reference)
    registry.download(found, folder)
    assert digest_folder(folder) == found.digest

    trusted = CLASSIFIERS[QUICK[trained.estimator].kind].trusted_types
    types = skops.io.get_untrusted_types(file=folder / "model.skops")
    assert set(types) <= set(trusted), "no class of ours, and none that is not on the list"
    assert not [path for path in folder.rglob("*") if path.suffix in {".pkl", ".pickle", ".joblib"}]

    model = skops.io.load(folder / "model.skops", trusted=trusted)
    served = load_model(folder / "fairmind")
    assert served.signature.classes == ("no", "yes")
    columns, rows = columns_from_frame(people.astype({"age": "float64"}), served.signature)
    answer = served.predict(columns, rows)
    features = people[[column.name for column in served.signature.columns]]
    assert answer.probabilities is not None
    np.testing.assert_allclose(answer.probabilities, model.predict_proba(features), rtol=0, atol=1e-6)
    assert answer.prediction.tolist() == model.predict(features).tolist()
    assert Proof.load(folder / "fairmind").decisions_changed == 0
    assert GateRecord.model_validate_json((folder / "fairmind" / "gates.json").read_text()) == trained.gates

    example = json.loads((folder / "input_example.json").read_text())
    assert set(example["columns"]) == set(features.columns)
    assert "@" not in json.dumps(example)


def test_the_run_tells_what_was_learned_from_what(people_csv: Path, store: TrackingStore, tmp_path: Path) -> None:
    config = TrainingConfig.for_table(people_csv, "y", ["sex"], "told", "no")
    (trained,) = _train(store, tmp_path, config, estimators={"logistic": QUICK["logistic"]})
    client = mlflow_client(store.tracking_uri, None)
    run = client.get_run(trained.run_id)

    assert run.info.status == "FINISHED"
    assert run.data.params["estimator"] == "logistic_regression"
    assert json.loads(run.data.params["features"]) == ["age", "job", "income", "owner"]
    assert run.data.tags["fairmind.data"].startswith("sha256:")
    assert run.data.tags["fairmind.favourable"] == '"no"'
    assert run.data.tags.get("fairmind.code") == code_commit()
    assert run.data.tags.get("mlflow.source.git.commit") == git_commit(Path.cwd())
    assert run.data.metrics["roc_auc"] == trained.metrics["roc_auc"]
    names = {artifact.path for artifact in client.list_artifacts(trained.run_id)}
    assert names == {"config.yaml", "notes.txt", "fairness", "plots"}
    plots = {artifact.path for artifact in client.list_artifacts(trained.run_id, "plots")}
    assert plots == {"plots/roc_and_calibration.png", "plots/rates_by_sex.png"}
    report = json.loads(Path(client.download_artifacts(trained.run_id, "fairness/report.json")).read_text())
    (attribute,) = report["attributes"]
    assert sum(group["rows"] for group in attribute["groups"]) == int(run.data.params["rows_test"])
    assert run.outputs.model_outputs[0].model_id


@pytest.mark.parametrize(
    ("label", "task", "answer"),
    [
        ("three", Task.MULTICLASS, "string"),
        ("owner", Task.BINARY, "boolean"),
        ("income", Task.REGRESSION, "double"),
    ],
)
def test_every_task_is_registered_with_its_signature(
    people: pd.DataFrame,
    store: TrackingStore,
    registry: MlflowRegistry,
    tmp_path: Path,
    label: str,
    task: Task,
    answer: str,
) -> None:
    import mlflow

    people["three"] = np.where(people["age"] > 60, "old", np.where(people["age"] > 35, "middle", "young"))
    people.dropna(subset=label).to_parquet(tmp_path / f"{label}.pq")
    config = TrainingConfig.for_table(tmp_path / f"{label}.pq", label, ["sex"], f"task-{label}")
    trees = {"boosted": EstimatorConfig(kind="gradient_boosting", params={"max_iter": 3})}
    (trained,) = _train(store, tmp_path, config, estimators=trees)
    registry.download(registry.find(trained.reference), tmp_path / "files")

    assert load_model(tmp_path / "files" / "fairmind").signature.task is task
    signature = mlflow.models.Model.load(tmp_path / "files").signature
    assert [column["type"] for column in signature.outputs.to_dict()] == [answer]
    assert {column["type"] for column in signature.inputs.to_dict()} <= {"double", "string", "boolean"}


def test_the_credit_data_trains_with_its_gates(store: TrackingStore, tmp_path: Path) -> None:
    folder = Path(__file__).parents[3] / "training" / "configs"
    config = TrainingConfig.from_yaml(folder / "credit.yaml").model_copy(update={"name": "credit-test"})
    versions = _train(store, tmp_path, config)

    assert config.source == german_credit()
    assert [version.estimator for version in versions] == ["logistic", "boosted"]
    for version in versions:
        assert version.gates.refusing() == ()
        assert [(result.metric, result.gating) for result in version.gates.results] == [
            ("roc_auc", True),
            ("equal_opportunity_difference", False),
            ("equalized_odds_difference", False),
        ]


def test_a_missed_floor_is_recorded_as_refusing(people_csv: Path, store: TrackingStore, tmp_path: Path) -> None:
    content = TrainingConfig.for_table(people_csv, "y", name="floor").model_dump(by_alias=True)
    content["gates"] = {"quality": [{"metric": "accuracy", "at_least": 0.9999}]}
    content["estimators"] = {"logistic": {"kind": "logistic_regression"}}
    (trained,) = _train(store, tmp_path, TrainingConfig.parse(content, where="test"))

    (refusing,) = trained.gates.refusing()
    assert refusing.metric == "accuracy"
    assert trained.as_json()["refused_by"] == [refusing.describe()]


def _cannot_compile(*_arguments: Any) -> Any:
    raise CompileError("OneHotEncoder", "it stands on its head")


def _not_the_same(*_arguments: Any) -> Any:
    raise ParityError(decisions_changed=3, largest_difference=0.5, tolerance=1e-6, rows=10)


@pytest.mark.parametrize(
    ("name", "replacement", "reason"),
    [
        ("candidates", _cannot_compile, "cannot compile OneHotEncoder: it stands on its head"),
        ("select_runtimes", _not_the_same, "3 decisions changed"),
    ],
)
def test_a_model_that_cannot_be_served_exactly_is_not_registered(
    people_csv: Path,
    store: TrackingStore,
    registry: MlflowRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    replacement: Any,
    reason: str,
) -> None:
    monkeypatch.setattr(training.artifact, name, replacement)
    config = TrainingConfig.for_table(people_csv, "y", name=f"unservable-{name}")
    with pytest.raises(NotServableError, match=reason) as caught:
        _train(store, tmp_path, config, estimators=QUICK)

    assert "was not registered" in str(caught.value)
    assert f"unservable-{name}" not in registry.names()
    client = mlflow_client(store.tracking_uri, None)
    experiment = client.get_experiment_by_name(store.experiment)
    latest = client.search_runs([experiment.experiment_id], max_results=1)[0]
    assert latest.info.status == "FAILED"
    (model,) = client.search_logged_models([experiment.experiment_id], f"name = 'unservable-{name}'")
    assert model.status.value == "FAILED"


@pytest.mark.parametrize(
    ("changes", "error", "reason"),
    [
        ({"label": "z"}, DataError, "no column 'z'"),
        ({"estimators": {**QUICK, "odd": EstimatorConfig(kind="oracle")}}, EstimatorError, "estimator 'odd'"),
        ({"favourable": "maybe"}, DataError, "'maybe' is not among the labels 'no', 'yes'"),
    ],
)
def test_what_cannot_be_trained_is_said_before_anything_is_stored(
    people_csv: Path,
    registry: MlflowRegistry,
    store: TrackingStore,
    tmp_path: Path,
    changes: dict[str, Any],
    error: type[Exception],
    reason: str,
) -> None:
    config = TrainingConfig.for_table(people_csv, "y", name="never")
    with pytest.raises(error, match=reason) as caught:
        _train(store, tmp_path, config, **changes)

    assert "\n" not in str(caught.value)
    assert "never" not in registry.names()
