from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import skops.io
import yaml

from compilation.compile import compile_model
from compilation.parity import Proof
from inference.frames import columns_from_frame
from inference.loading import load_model
from registry.digest import digest_folder
from registry.errors import DigestMismatchError, GateRefusedError, ModelNotFoundError
from registry.gate_record import GateRecord
from registry.mlflow_registry import MlflowRegistry
from registry.model_cache import ModelCache
from registry.promotion import promote
from registry.reference import Reference
from registry.versions import DIGEST_TAG
from tests.fakes import pipelines
from tests.fakes.registry import FakeRegistry
from training.config import TrainingConfig
from training.data import prepare
from training.decision_version import DecisionVersion, set_threshold
from training.errors import DecisionError, ThresholdError
from training.estimators import CLASSIFIERS
from training.evaluation import evaluate
from training.gates import gate_results
from training.provenance import commit_tags
from training.score_counts import EVALUATION_FILE
from training.split import split_rows
from training.store import TrackingStore
from training.train import train
from training.vendor import mlflow_client

KINDS = {
    "logistic_regression": {},
    "gradient_boosting": {"max_iter": 5},
    "random_forest": {"n_estimators": 7},
}

Make = Callable[..., DecisionVersion]
"""Sets a threshold for a reference, in the store of the session unless told otherwise."""


def _config(path: Path, name: str, label: str = "y", **changes: Any) -> TrainingConfig:
    content = {
        "name": name,
        "source": {"kind": "file", "path": path},
        "label": label,
        "protected": ["sex"],
        "estimators": {kind: {"kind": kind, "params": params} for kind, params in KINDS.items()},
        "gates": {
            "quality": [{"metric": "accuracy", "at_least": 0.6}, {"metric": "roc_auc", "at_least": 0.6}],
            "bias": [{"metric": "demographic_parity_difference", "attribute": "sex", "at_most": 0.4}],
        },
    }
    return TrainingConfig.parse({**content, **changes}, where="test")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainingConfig:
    frame = pipelines.people(600)
    frame["sex"] = np.random.default_rng(3).choice(["f", "m"], len(frame))
    frame["three"] = pipelines.labels(frame, classes=3)
    frame["y"] = np.array(["no", "yes"])[pipelines.labels(frame)]
    path = tmp_path_factory.mktemp("decisions") / "people.parquet"
    frame.to_parquet(path)
    return _config(path, "decisions", exclude=["three"])


@pytest.fixture(scope="module")
def registry(config: TrainingConfig, store: TrackingStore) -> MlflowRegistry:
    """`decisions` with a version per kind, in their order; `classes` with one that knows three."""
    assert config.source.kind == "file"
    folder = config.source.path.parent
    train(config, store=store, data_folder=folder)
    estimators = {"one": {"kind": "logistic_regression"}}
    several = _config(
        config.source.path, "classes", "three", exclude=["y"], estimators=estimators, gates={}, favourable=2
    )
    train(several, store=store, data_folder=folder)
    return MlflowRegistry(store.tracking_uri)


@pytest.fixture
def cache(tmp_path: Path) -> ModelCache:
    return ModelCache(tmp_path / "models")


@pytest.fixture
def make(registry: MlflowRegistry, cache: ModelCache, store: TrackingStore) -> Make:
    def run(reference: str, threshold: float, **changes: Any) -> DecisionVersion:
        given = {"registry": registry, "cache": cache, "store": store, "actor": "ada", **changes}
        return set_threshold(Reference.parse(reference), threshold, **given)

    return run


@pytest.mark.parametrize(("number", "kind"), list(enumerate(KINDS, start=1)))
def test_the_new_version_scores_as_the_old_one_and_decides_at_the_threshold(
    make: Make, registry: MlflowRegistry, cache: ModelCache, config: TrainingConfig, number: int, kind: str
) -> None:
    made = make(f"decisions/{number}", 0.312)
    old, new = registry.find(Reference("decisions", version=str(number))), registry.find(made.reference)
    before, after = cache.fetch(registry, old), cache.fetch(registry, new)
    frame = prepare(config.source.read(Path()), config).table

    was, served = load_model(before / "fairmind"), load_model(after / "fairmind")
    columns, rows = columns_from_frame(frame, served.signature)
    scores = was.predict(columns, rows).probabilities
    answer = served.predict(columns, rows)
    assert scores is not None
    assert answer.probabilities is not None
    assert np.array_equal(answer.probabilities, scores)
    assert answer.prediction.tolist() == np.where(scores[:, 1] >= 0.312, "yes", "no").tolist()
    assert Proof.load(after / "fairmind") == Proof.load(before / "fairmind")

    trusted = CLASSIFIERS[kind].trusted_types
    assert set(skops.io.get_untrusted_types(file=after / "model.skops")) <= set(trusted)
    model = skops.io.load(after / "model.skops", trusted=trusted)
    assert model.predict(frame).tolist() == answer.prediction.tolist()
    compiled = compile_model(model, frame)
    assert compiled.decision == served.decision
    assert compiled.served().predict(columns, rows).prediction.tolist() == answer.prediction.tolist()


def test_its_gates_say_what_the_rows_would(
    make: Make, registry: MlflowRegistry, cache: ModelCache, config: TrainingConfig
) -> None:
    made = make("decisions/1", 0.4)
    new = registry.find(made.reference)
    folder = cache.fetch(registry, new)
    model = skops.io.load(folder / "model.skops", trusted=["numpy.dtype"])
    data = prepare(config.source.read(Path()), config)
    expected = evaluate(model, data, split_rows(data.labels, config.split).test, config.gates)

    assert made.metrics == pytest.approx(expected.numbers())
    assert [result.message for result in made.gates.results] == [
        result.message for result in gate_results(expected, config.gates)
    ]
    assert made.gates == GateRecord.from_version(new)
    assert made.gates.digest == new.digest == digest_folder(folder)
    assert GateRecord.model_validate_json((folder / "fairmind" / "gates.json").read_text()) == made.gates


def test_whoever_loads_it_from_mlflow_gets_its_decisions(
    make: Make, registry: MlflowRegistry, cache: ModelCache, config: TrainingConfig
) -> None:
    folder = cache.fetch(registry, registry.find(make("decisions/1", 0.2).reference))
    frame = prepare(config.source.read(Path()), config).table
    served = load_model(folder / "fairmind")
    columns, rows = columns_from_frame(frame, served.signature)
    decided = served.predict(columns, rows).prediction.tolist()

    loaded = mlflow.pyfunc.load_model(str(folder))
    assert np.asarray(loaded.predict(frame)).tolist() == decided
    assert decided != mlflow.sklearn.load_model(str(folder)).estimator_.predict(frame).tolist()


def test_it_tells_where_it_comes_from(
    make: Make, registry: MlflowRegistry, cache: ModelCache, store: TrackingStore
) -> None:
    registry.set_tag("decisions", "1", "fairmind.override.by", "eve")
    registry.set_tag("decisions", "1", "note", "a colleague's")
    made = make("decisions/1", 0.25, reason=" fewer refusals ")
    old, new = registry.find(Reference("decisions", version="1")), registry.find(made.reference)

    changed = {"fairmind.digest", "fairmind.gates", "fairmind.override.by", "note"}
    assert {key: value for key, value in old.tags.items() if key not in changed}.items() <= new.tags.items()
    assert {key: new.tags[key] for key in new.tags.keys() - old.tags.keys()} == {
        "fairmind.decision_of": "1",
        "fairmind.decision.threshold": "0.25",
        "fairmind.decision.by": "ada",
        "fairmind.decision.reason": "fewer refusals",
    }
    assert "fairmind.override.by" not in new.tags
    assert new.aliases == frozenset()

    run = mlflow_client(store.tracking_uri, None).get_run(made.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"threshold": "0.25", "decision_of": "decisions/1"}
    assert run.data.metrics == pytest.approx(made.metrics)
    assert {
        "fairmind.decision_of": "1",
        "fairmind.model": "decisions",
        **commit_tags(),
    }.items() <= run.data.tags.items()
    (output,) = run.outputs.model_outputs
    entry = yaml.safe_load((cache.fetch(registry, new) / "MLmodel").read_text())
    assert (entry["model_id"], entry["run_id"]) == (output.model_id, made.run_id)
    assert made.as_json()["decision_of"] == "decisions/1"
    assert made.as_json()["reference"] == str(made.reference)


def test_a_threshold_on_a_threshold_replaces_it(make: Make, registry: MlflowRegistry, cache: ModelCache) -> None:
    once = make("decisions/1", 0.9, reason="first")
    twice = make(str(once.reference), 0.312)
    direct = make("decisions/1", 0.312)

    new = registry.find(twice.reference)
    assert new.tags["fairmind.decision_of"] == once.reference.version
    assert "fairmind.decision.reason" not in new.tags
    assert twice.metrics == direct.metrics
    model = skops.io.load(cache.fetch(registry, new) / "model.skops", trusted=["numpy.dtype"])
    assert (type(model.estimator_).__name__, model.threshold) == ("Pipeline", 0.312)
    with pytest.raises(DecisionError, match=r"decides at 0\.312 already"):
        make(str(twice.reference), 0.312)


def test_a_version_whose_gates_fail_is_made_and_not_promoted(make: Make, registry: MlflowRegistry) -> None:
    made = make("decisions/1", 1.0)

    assert [result.metric for result in made.gates.refusing()] == ["accuracy"]
    assert made.as_json()["refused_by"] == [result.describe() for result in made.gates.refusing()]
    with pytest.raises(GateRefusedError, match="accuracy"):
        promote(registry, made.reference, actor="ada", now=datetime.now(UTC))
    allowed = make("decisions/1", 0.5)
    assert promote(registry, allowed.reference, actor="ada", now=datetime.now(UTC)).version.aliases == {"champion"}


@pytest.mark.parametrize(
    ("reference", "threshold", "error", "reason"),
    [
        ("decisions/1", 0.1234, ThresholdError, "at most three decimals"),
        ("decisions/1", 1.5, ThresholdError, "from 0 to 1"),
        ("decisions/99", 0.5, ModelNotFoundError, "decisions/99"),
        ("classes/1", 0.5, DecisionError, "its task is multiclass, and a threshold decides between two classes"),
    ],
)
def test_what_cannot_be_decided_so_is_refused(
    make: Make, reference: str, threshold: float, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        make(reference, threshold)


def _another_library(folder: Path) -> None:
    entry = yaml.safe_load((folder / "MLmodel").read_text())
    entry["flavors"]["sklearn"]["sklearn_version"] = "1.2.0"
    (folder / "MLmodel").write_text(yaml.safe_dump(entry))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: shutil.rmtree(folder / "fairmind"), "no compiled form that could be loaded"),
        (lambda folder: (folder / "fairmind" / EVALUATION_FILE).unlink(), "without the evaluation"),
        (_another_library, r"stored by scikit-learn 1\.2\.0, and this is"),
    ],
)
def test_a_version_that_lacks_something_is_refused_with_the_remedy(
    make: Make,
    registry: MlflowRegistry,
    cache: ModelCache,
    tmp_path: Path,
    damage: Callable[[Path], None],
    reason: str,
) -> None:
    folder = tmp_path / "other"
    shutil.copytree(cache.fetch(registry, registry.find(Reference("decisions", version="1"))), folder)
    damage(folder)
    others = FakeRegistry()
    others.register("other", folder, {DIGEST_TAG: digest_folder(folder)})

    with pytest.raises(DecisionError, match=reason) as caught:
        make("other/1", 0.5, registry=others)
    assert "train" in str(caught.value)
    assert "other" not in registry.names()


def test_files_that_are_not_the_registered_ones_are_refused(
    make: Make, registry: MlflowRegistry, tmp_path: Path
) -> None:
    folder = tmp_path / "other"
    registry.download(registry.find(Reference("decisions", version="1")), folder)
    others = FakeRegistry()
    others.register("other", folder, {DIGEST_TAG: digest_folder(folder)})
    (folder / "fairmind" / EVALUATION_FILE).write_text("{}")

    with pytest.raises(DigestMismatchError):
        make("other/1", 0.5, registry=others)
