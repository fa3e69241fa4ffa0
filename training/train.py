"""The flow: data, split, and for every estimator fit, measure, judge, log, register."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sklearn.pipeline import Pipeline

from compilation.parity import Proof
from inference.signature import Task
from registry.gate_record import GateRecord
from registry.reference import Reference
from training.config import EstimatorConfig, TrainingConfig
from training.data import TrainingData, load
from training.estimators import build, default_estimators, fit, kind_of, leave_a_core
from training.evaluation import Evaluation, evaluate
from training.gates import gate_results
from training.plots import figures
from training.provenance import commit_tags
from training.registration import Candidate, register
from training.score_counts import ScoreCounts, count_scores
from training.split import Rows, split_rows
from training.store import Run, TrackingStore

Progress = Callable[[str, float], None]
"""Called with what is being done now, and the fraction of the whole that is done."""


@dataclass(frozen=True, slots=True)
class TrainedVersion:
    """A version that was trained and registered; `seconds` is the time it took, registration included."""

    name: str
    version: str
    estimator: str
    reference: Reference
    metrics: Mapping[str, float]
    gates: GateRecord
    proof: Proof
    run_id: str
    seconds: float
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return what a program that called the command wants to know, as plain values."""
        return {
            "name": self.name,
            "version": self.version,
            "reference": str(self.reference),
            "estimator": self.estimator,
            "run_id": self.run_id,
            "metrics": dict(self.metrics),
            "gates": [result.model_dump(mode="json") for result in self.gates.results],
            "refused_by": [result.describe() for result in self.gates.refusing()],
            "digest": self.gates.digest,
            "seconds": round(self.seconds, 3),
            "notes": list(self.notes),
        }


def train(
    config: TrainingConfig, *, store: TrackingStore, data_folder: Path, progress: Progress | None = None
) -> list[TrainedVersion]:
    """Train, measure and register one version per estimator of the configuration, in its order.

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
    versions = []
    for index, (name, estimator) in enumerate(estimators.items()):
        share = 0.9 / len(estimators)
        part = partial(_tell_part, tell, 0.1 + index * share, share)
        with leave_a_core():
            versions.append(_Job(config, data, rows, store, name, estimator).run(part))
    tell("done", 1.0)
    return versions


def _tell_part(tell: Progress, start: float, share: float, what: str, fraction: float) -> None:
    tell(what, start + share * fraction)


@dataclass(frozen=True, slots=True)
class _Job:
    """One estimator of one training."""

    config: TrainingConfig
    data: TrainingData
    rows: Rows
    store: TrackingStore
    estimator_name: str
    estimator: EstimatorConfig

    def run(self, tell: Progress) -> TrainedVersion:
        started = time.perf_counter()
        name, config, labels = self.estimator_name, self.config, self.data.labels
        pipeline = build(
            name,
            self.estimator,
            task=labels.task,
            features=self.data.features,
            unknown=config.unknown_categories,
            seed=config.split.seed,
        )
        tell(f"{name}: fitting on {len(self.rows.train):,} rows", 0.0)
        training = self.rows.train
        notes = [*self.data.notes, *fit(name, pipeline, self.data.table.iloc[training], labels.values[training])]
        tell(f"{name}: measuring on {len(self.rows.test):,} held-out rows", 0.4)
        evaluation = evaluate(pipeline, self.data, self.rows.test, config.gates)
        results = gate_results(evaluation, config.gates)
        fitted = time.perf_counter() - started
        title = f"{config.name}-{name}"
        tell(f"{name}: logging the run", 0.5)
        with self.store.run(title, params=self._params(pipeline), tags=self._run_tags()) as run:
            self._log(run, evaluation, fitted, notes)
            tell(f"{name}: compiling, proving and registering", 0.7)
            candidate = Candidate(
                name=config.name,
                pipeline=pipeline,
                features=self.data.features,
                rows=self.data.table.iloc[self.rows.test],
                trusted=kind_of(name, self.estimator, labels.task).trusted_types,
                gates=results,
                bias_policy=config.gates.recorded_policy,
                tags=self._version_tags(),
                scores=self._score_counts(evaluation),
            )
            registered = register(run, candidate)
        return TrainedVersion(
            name=registered.reference.name,
            version=registered.reference.version or "",
            estimator=name,
            reference=registered.reference,
            metrics=evaluation.numbers(),
            gates=registered.gates,
            proof=registered.proof,
            run_id=run.run_id,
            seconds=time.perf_counter() - started,
            notes=tuple(notes),
        )

    def _score_counts(self, evaluation: Evaluation) -> ScoreCounts | None:
        labels, test = self.data.labels, self.rows.test
        if labels.task is not Task.BINARY or evaluation.probabilities is None or labels.favourable is None:
            return None
        return count_scores(
            evaluation.probabilities[:, 1],
            evaluation.truth,
            {name: values[test] for name, values in self.data.protected.items()},
            classes=(labels.classes[0], labels.classes[1]),
            favourable=labels.favourable,
            quality=evaluation.quality,
            gates=self.config.gates,
        )

    def _params(self, pipeline: Pipeline) -> dict[str, Any]:
        model = pipeline.named_steps["model"]
        return {
            "estimator": self.estimator.kind,
            **{f"estimator.{key}": value for key, value in model.get_params(deep=False).items()},
            "features": list(self.data.features.roles),
            "unknown_categories": self.config.unknown_categories.value,
            "rows_train": len(self.rows.train),
            "rows_test": len(self.rows.test),
            "split_seed": self.config.split.seed,
        }

    def _run_tags(self) -> dict[str, str]:
        return {**self._version_tags(), "fairmind.model": self.config.name, **commit_tags()}

    def _version_tags(self) -> dict[str, str]:
        """Facts that a later bias test needs and that the model's files do not hold."""
        return {
            "fairmind.estimator": self.estimator_name,
            "fairmind.task": self.data.labels.task.value,
            "fairmind.label": self.config.label,
            "fairmind.favourable": json.dumps(self.data.labels.favourable),
            "fairmind.protected": json.dumps(list(self.config.protected)),
            "fairmind.data": self.data.fingerprint.digest,
        }

    def _log(self, run: Run, evaluation: Evaluation, fitted: float, notes: list[str]) -> None:
        data, title = self.data, f"{self.config.name}-{self.estimator_name}"
        run.log_metrics({**evaluation.numbers(), "fit_seconds": fitted})
        run.log_data(
            self.config.name,
            digest=data.fingerprint.digest,
            source=self.config.source.describe(),
            rows=data.fingerprint.rows,
            columns=data.fingerprint.columns,
        )
        run.log_text(self.config.to_yaml(), "config.yaml")
        if notes:
            run.log_text("\n".join(notes) + "\n", "notes.txt")
        if evaluation.bias is not None:
            # Counts and rates per group: the protected attributes of single rows are kept nowhere.
            run.log_text(evaluation.bias.model_dump_json(indent=1), "fairness/report.json")
        for name, figure in figures(evaluation, data.labels, title):
            run.log_figure(figure, f"plots/{name}")
