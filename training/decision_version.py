"""A version that scores as another does and decides at another threshold: new files, new gates, no training."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sklearn
import skops.io
from sklearn.base import clone
from sklearn.model_selection import FixedThresholdClassifier

from inference.decision import Decision
from inference.errors import RuntimeLoadError
from inference.loading import DECISION_FILE, load_model
from inference.signature import Task
from monitoring.profile import ReferenceProfile
from registry.gate_record import GATES_TAG, GateRecord
from registry.model_cache import ModelCache
from registry.promotion import OVERRIDE_TAG, PROMOTED_TAG, ROLLED_BACK_TAG
from registry.reference import Reference
from registry.registry import Registry
from registry.versions import DIGEST_TAG, ModelVersion
from training.artifact import FAIRMIND_FOLDER, MODEL_FILE, bind_gates, load_stored
from training.errors import DecisionError
from training.estimators import CLASSIFIERS
from training.gates import gate_results
from training.provenance import commit_tags
from training.score_counts import ScoreCounts, threshold_step
from training.store import TrackingStore
from training.version_files import version_files

if TYPE_CHECKING:
    from mlflow.models import Model

DECISION_TAG = "fairmind.decision"
DECISION_OF_TAG = "fairmind.decision_of"

# What happened to the version itself, or is said of its files, is not true of a version made from it.
_NOT_COPIED = (DIGEST_TAG, GATES_TAG, OVERRIDE_TAG, PROMOTED_TAG, ROLLED_BACK_TAG, DECISION_TAG, DECISION_OF_TAG)
_TRUSTED = sorted({name for kind in CLASSIFIERS.values() for name in kind.trusted_types})


@dataclass(frozen=True, slots=True)
class DecisionVersion:
    """A version that was made of `decision_of` by giving it another threshold."""

    reference: Reference
    decision_of: Reference
    threshold: float
    metrics: Mapping[str, float]
    gates: GateRecord
    run_id: str

    def as_json(self) -> dict[str, Any]:
        """Return what a program that called the command wants to know, as plain values."""
        return {
            "name": self.reference.name,
            "version": self.reference.version,
            "reference": str(self.reference),
            "decision_of": str(self.decision_of),
            "threshold": self.threshold,
            "run_id": self.run_id,
            "metrics": dict(self.metrics),
            "gates": [result.model_dump(mode="json") for result in self.gates.results],
            "refused_by": [result.describe() for result in self.gates.refusing()],
            "digest": self.gates.digest,
        }


def set_threshold(
    reference: Reference,
    threshold: float,
    *,
    registry: Registry,
    cache: ModelCache,
    store: TrackingStore,
    actor: str,
    reason: str | None = None,
) -> DecisionVersion:
    """Register a version that answers `classes[1]` where its probability is at least `threshold`, and gate it.

    The scores stay as they are, and so do the runtimes and their proof: the rule is applied behind them, in numpy.
    The proof counted changed decisions under the rule before; under this one the compiled form can decide otherwise
    than the registered model only where a score is within the proof's largest difference of the threshold.

    The registered scikit-learn model gets the same rule, as a `FixedThresholdClassifier`, so whoever loads it from
    MLflow decides as the service does. The gates are those of the version it is made of, measured on the same
    held-out rows through their counts. No alias is moved. Failing gates do not stop it, they stop its promotion.

    Args:
        reference: The version to make it of.
        threshold: One of 0 (always `classes[1]`), 0.001, ... 1 (only at certainty).
        registry: Where the version is found.
        cache: Where its files are kept, checked against their digest.
        store: Where the new version is logged and registered.
        actor: Who asked for it; recorded on the version.
        reason: Why; recorded on the version.

    Raises:
        ThresholdError: the threshold is not one of these.
        DecisionError: the version is no compiled binary classifier with its evaluation, was stored by another
            scikit-learn, or decides like this already.
        ModelNotFoundError: there is no such version.
        DigestMismatchError: its files are not the ones that were registered.
        TrackingError: the store refuses or cannot be reached.
    """
    threshold_step(threshold)
    version = registry.find(reference)
    folder = cache.fetch(registry, version)
    scores = _read_scores(version, folder, threshold)
    measured = scores.at(threshold)
    results = gate_results(measured, scores.gates)
    tags = _version_tags(version, threshold, actor, reason)
    with store.run(
        f"{version.name}-{version.version}-at-{threshold:g}",
        params={"threshold": threshold, "decision_of": str(version)},
        tags={**tags, "fairmind.model": version.name, **commit_tags()},
    ) as run:
        run.log_metrics(measured.numbers())
        if measured.bias is not None:
            run.log_text(measured.bias.model_dump_json(indent=1), "fairness/report.json")
        with version_files(run, version.name) as files:
            _write(files.folder, folder, files.entry, version, threshold)
            record = bind_gates(files.folder, results, scores.gates.recorded_policy)
        made = files.register(record, tags)
    origin = Reference(version.name, version=version.version)
    return DecisionVersion(made, origin, threshold, measured.numbers(), record, run.run_id)


def decide_at(model: Any, threshold: float) -> FixedThresholdClassifier:
    """Return the fitted binary classifier deciding at `threshold`, in place of a threshold that it has.

    It is what `fit` would leave, without fitting; `compilation.compile` takes it apart into the same scores and
    rule.
    """
    scorer = model.estimator_ if isinstance(model, FixedThresholdClassifier) else model
    decided = FixedThresholdClassifier(
        clone(scorer), threshold=threshold, pos_label=scorer.classes_[1].item(), response_method="predict_proba"
    )
    decided.estimator_ = scorer
    decided.n_features_in_ = scorer.n_features_in_
    decided.feature_names_in_ = scorer.feature_names_in_
    return decided


def _read_scores(version: ModelVersion, folder: Path, threshold: float) -> ScoreCounts:
    name = str(version)
    try:
        served = load_model(folder / FAIRMIND_FOLDER)
    except RuntimeLoadError as error:
        reason = f"it has no compiled form that could be loaded ({error.reason}); make one with `fairmind train`"
        raise DecisionError(name, reason) from error
    if served.signature.task is not Task.BINARY:
        task = f"its task is {served.signature.task}"
        raise DecisionError(name, f"{task}, and a threshold decides between two classes; name a binary classifier")
    if served.decision.threshold == threshold:
        raise DecisionError(name, f"it decides at {threshold:g} already")
    return ScoreCounts.load(folder / FAIRMIND_FOLDER, name)


def _write(folder: Path, origin: Path, entry: Model, version: ModelVersion, threshold: float) -> None:
    """Write the files of `origin` into `folder` with the rule and the description of the new version."""
    from mlflow.models import Model

    shutil.copytree(origin, folder, ignore=shutil.ignore_patterns(".*", "registered_model_meta"))
    described = Model.load(str(folder))
    stored_by = described.flavors["sklearn"]["sklearn_version"]
    if stored_by != sklearn.__version__:
        # A model is written again only by the library that it is known to be read by.
        reason = f"its model was stored by scikit-learn {stored_by}, and this is {sklearn.__version__}"
        raise DecisionError(str(version), f"{reason}; set the threshold with that one, or train it again")
    skops.io.dump(decide_at(load_stored(folder, _TRUSTED), threshold), folder / MODEL_FILE)
    rule = Decision(threshold=threshold)
    (folder / FAIRMIND_FOLDER / DECISION_FILE).write_text(rule.model_dump_json(), encoding="utf-8")
    profile = ReferenceProfile.load(folder / FAIRMIND_FOLDER)
    if profile is not None:
        profile.at(threshold_step(threshold)).save(folder / FAIRMIND_FOLDER)
    described.artifact_path, described.run_id = entry.artifact_path, entry.run_id
    described.model_id, described.model_uuid = entry.model_id, entry.model_uuid
    described.utc_time_created = entry.utc_time_created
    described.model_size_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    described.save(str(folder / "MLmodel"))


def _version_tags(version: ModelVersion, threshold: float, actor: str, reason: str | None) -> dict[str, str]:
    ours = {key: value for key, value in version.tags.items() if key.startswith("fairmind.")}
    kept = {
        key: value
        for key, value in ours.items()
        if not any(key == tag or key.startswith(f"{tag}.") for tag in _NOT_COPIED)
    }
    made = {
        DECISION_OF_TAG: version.version,
        f"{DECISION_TAG}.threshold": f"{threshold:g}",
        f"{DECISION_TAG}.by": actor,
    }
    return {**kept, **made, **({f"{DECISION_TAG}.reason": reason.strip()} if reason and reason.strip() else {})}
