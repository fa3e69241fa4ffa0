"""The flow: data, split, and every estimator's versions, one after the other."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from training.config import TrainingConfig
from training.data import load
from training.estimators import default_estimators, kind_of, leave_a_core
from training.job import Job, Progress
from training.mitigated_rows import mitigated_rows
from training.split import split_rows
from training.store import TrackingStore
from training.trained_version import TrainedVersion


def train(
    config: TrainingConfig, *, store: TrackingStore, data_folder: Path, progress: Progress | None = None
) -> list[TrainedVersion]:
    """Train, measure and register one version per estimator of the configuration, in its order.

    With a mitigation, each of them is followed by its mitigated version, of the same data and the same split.

    Aliases are not moved: what is registered is a candidate until somebody promotes it. When an estimator fails,
    the versions registered before it stay.

    Args:
        config: What to train on what.
        store: Where runs and versions are kept.
        data_folder: Where fetched data is kept between trainings.
        progress: Told what is being done.

    Raises:
        SourceError: the data cannot be read.
        TrainingError: the configuration, the data, an estimator or the store does not allow it; see its kinds.
    """
    tell = progress or (lambda _what, _fraction: None)
    tell("reading the data", 0.0)
    data = load(config, data_folder)
    estimators = config.estimators or default_estimators(data.labels.task)
    for name, estimator in estimators.items():
        kind_of(name, estimator, data.labels.task)
    rows = split_rows(data.labels, config.split)
    mitigated = mitigated_rows(config, config.mitigation, data, rows) if config.mitigation else None
    versions = []
    for index, (name, estimator) in enumerate(estimators.items()):
        share = 0.9 / len(estimators)
        part = partial(_tell_part, tell, 0.1 + index * share, share)
        with leave_a_core():
            versions += Job(config, data, rows, store, name, estimator, mitigated).run(part)
    tell("done", 1.0)
    return versions


def _tell_part(tell: Progress, start: float, share: float, what: str, fraction: float) -> None:
    tell(what, start + share * fraction)
