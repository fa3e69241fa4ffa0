"""One logged decision made again: the version that answered, its row, and the same answer or what differs."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine

from inference.errors import InferenceError, SignatureMismatchError
from inference.served_model import ServedModel
from inference.signature import Signature
from monitoring.feature_store import FeatureStore
from monitoring.logged_features import find_features
from monitoring.logged_prediction import LoggedPrediction, find_outcome, find_prediction
from registry.model_cache import ModelCache
from registry.registry import Registry
from replay.exact_version import ExactVersion, find_version
from replay.lineage import lineage_of
from replay.reproduced import Difference, LoggedAnswer, Recomputed, Reproduction, VersionFound
from replay.rollout_part import rollout_of
from replay.same_bits import Rescored, rescore, same
from rollout.serving_store import serving_states

_LIBRARIES: Final = ("numpy", "onnxruntime", "treelite")
_NO_FEATURES: Final = (
    "the features it was made from are not in the log: they are not kept, too old to be kept, or on another "
    "machine until they are archived (FAIRMIND_MONITORING_FEATURES_SHARE, …_FEATURES_RETENTION_DAYS)"
)
_TINY: Final = 1e-6
"""Two sums of the same terms in another order, in single precision, differ by less."""

Open = Callable[[Path], AbstractContextManager[ServedModel]]
"""Opens the version whose verified files lie in a folder."""


@dataclass(frozen=True, slots=True)
class Found:
    """A prediction with what it was made from and what made it; features are None where they are not kept."""

    logged: LoggedPrediction
    features: dict[str, Any] | None
    version: ExactVersion


@dataclass(frozen=True, slots=True)
class Reproducer:
    """Makes logged decisions again.

    `spool` is where rows wait to be shipped, `cache` where copies of versions lie; `opened` makes a version's files
    answer, and raises InferenceError where they cannot.
    """

    control: Engine
    log: Engine
    store: FeatureStore
    spool: Path
    cache: ModelCache
    registry: Registry
    opened: Open

    def find(self, prediction_id: str) -> Found:
        """Return a prediction with its features and its version.

        Raises:
            PredictionNotFoundError: The log has none of this id.
            OSError: The feature store cannot be reached.
        """
        logged = find_prediction(self.log, self.spool, prediction_id)
        state = serving_states(self.control).get(logged.model)
        served = () if state is None else state.versions()
        digest = next((one.digest for one in served if one.version == logged.model_version), None)
        version = find_version(logged, self.cache, self.registry, digest)
        return Found(logged, find_features(self.log, self.store, self.spool, logged), version)

    def reproduce(self, found: Found) -> Reproduction:
        """Return a decision made again, with where it comes from; what stands in the way is told in it."""
        model, rescored, reason = self._rescored(found)
        logged, version = found.logged, found.version
        differences = () if rescored is None or rescored.is_same else _differences(logged, rescored)
        return Reproduction(
            prediction_id=logged.prediction_id,
            same=None if rescored is None else rescored.is_same,
            reason=reason or _cause(differences, is_remote=model is not None and model.is_remote),
            logged=LoggedAnswer.of(logged),
            recomputed=None if model is None or rescored is None else _recomputed(model, rescored),
            differences=differences,
            classes=() if model is None else model.signature.classes,
            threshold=None if model is None else model.decision.threshold,
            version=VersionFound.of(version),
            lineage=lineage_of(version, self.registry),
            rollout=rollout_of(self.control, logged),
            rollout_id=logged.rollout_id,
            outcome=find_outcome(self.log, logged),
        )

    def _rescored(self, found: Found) -> tuple[ServedModel | None, Rescored | None, str]:
        """Return the version and what it answers now; or, without an answer, why there is none."""
        if found.version.folder is None:
            return None, None, found.version.problem
        try:
            with self.opened(found.version.folder) as model:
                if found.features is None:
                    return model, None, _NO_FEATURES
                row = row_of(found.features, model.signature)
                return model, rescore(model, row, found.logged.prediction, found.logged.score), ""
        except SignatureMismatchError as error:
            return None, None, f"not all features that it was made from are in the log: {error}"
        except InferenceError as error:
            return None, None, f"{found.version} does not answer here: {error}"


def row_of(features: Mapping[str, Any], signature: Signature) -> dict[str, Any]:
    """Return logged features as a row of a signature, without columns that it does not have."""
    return {column.name: features[column.name] for column in signature.columns if column.name in features}


def _recomputed(model: ServedModel, rescored: Rescored) -> Recomputed:
    answer = rescored.answer
    return Recomputed(
        prediction=answer.prediction,
        score=answer.score,
        probabilities=answer.probabilities,
        runtime="runner" if model.is_remote else "compiled",
        rows=rescored.rows,
        libraries=_libraries(),
    )


def _differences(logged: LoggedPrediction, rescored: Rescored) -> tuple[Difference, ...]:
    answer = rescored.answer
    pairs = (("prediction", logged.prediction, answer.prediction), ("score", logged.score, answer.score))
    return tuple(
        Difference(field=field, logged=was, recomputed=is_now, by=_distance(was, is_now))
        for field, was, is_now in pairs
        if not same(was, is_now)
    )


def _distance(one: Any, other: Any) -> float | None:
    return abs(other - one) if type(one) is float and type(other) is float else None


def _cause(differences: tuple[Difference, ...], *, is_remote: bool) -> str:
    if not differences:
        return ""
    if is_remote:
        return (
            "the version runs in a process of its own: parameters of the request are not in the log, and its "
            "libraries or the processor may be others than they were"
        )
    if all(one.by is not None and one.by <= _TINY * max(1.0, abs(one.logged)) for one in differences):
        return "the last digits differ: the libraries or the processor are not those that answered"
    return (
        "the files are those that were registered, so the row or the answer in the log is not what it was: the log "
        "was changed, or the features came in a form that it does not keep"
    )


@cache
def _libraries() -> dict[str, str]:
    """Return what an answer is computed with here."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
