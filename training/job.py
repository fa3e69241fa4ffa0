"""One estimator of one training: fit, measure, judge, log, register, and the same for its mitigation."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sklearn.pipeline import Pipeline

from inference.signature import Task
from training.before_after import BeforeAfter, compare
from training.config import EstimatorConfig, TrainingConfig
from training.data import TrainingData
from training.estimators import build, fit, kind_of
from training.evaluation import Evaluation, evaluate
from training.gates import gate_results
from training.mitigated import Mitigated, mitigate
from training.mitigated_rows import MitigatedRows
from training.mitigation import Mitigation
from training.plots import figures
from training.provenance import commit_tags
from training.reference_profile import reference_profile
from training.registration import Candidate, register
from training.score_counts import ScoreCounts, count_scores
from training.split import Rows
from training.store import Run, TrackingStore
from training.trained_version import TrainedVersion

MITIGATION_TAG = "fairmind.mitigation"
MITIGATION_OF_TAG = "fairmind.mitigation_of"
MITIGATION_FILE = "fairness/mitigation.json"

Progress = Callable[[str, float], None]
"""Called with what is being done now, and the fraction of the whole that is done."""


@dataclass(frozen=True, slots=True)
class _Fitted:
    """A fitted pipeline that is to become a version; `change` is there for a mitigated one."""

    title: str
    pipeline: Pipeline
    evaluation: Evaluation
    notes: tuple[str, ...]
    seconds: float
    change: BeforeAfter | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One estimator of one training; `mitigated` are its training rows where the configuration has a mitigation."""

    config: TrainingConfig
    data: TrainingData
    rows: Rows
    store: TrackingStore
    estimator_name: str
    estimator: EstimatorConfig
    mitigated: MitigatedRows | None = None

    def run(self, tell: Progress) -> list[TrainedVersion]:
        """Return the version that was registered, and after it its mitigation where one is asked for.

        Raises:
            TrainingError: the estimator, the model or the store does not allow it; see its kinds.
        """
        first = tell if self.mitigated is None else partial(_half, tell, 0.0)
        started, fitted = time.perf_counter(), self._fit(first)
        made = [self._register(fitted, fitted.pipeline, started, first)]
        if self.mitigated is not None and self.config.mitigation is not None:
            second, started = partial(_half, tell, 0.5), time.perf_counter()
            of = str(made[0].reference)
            mitigated = self._mitigate(fitted, of, self.config.mitigation, self.mitigated, second)
            made.append(self._register(mitigated, fitted.pipeline, started, second))
        return made

    def _fit(self, tell: Progress) -> _Fitted:
        name, labels, training = self.estimator_name, self.data.labels, self.rows.train
        started = time.perf_counter()
        pipeline = build(
            name,
            self.estimator,
            task=labels.task,
            features=self.data.features,
            unknown=self.config.unknown_categories,
            seed=self.config.split.seed,
        )
        tell(f"{name}: fitting on {len(training):,} rows", 0.0)
        notes = [*self.data.notes, *fit(name, pipeline, self.data.table.iloc[training], labels.values[training])]
        evaluation = self._evaluate(pipeline, tell)
        seconds = time.perf_counter() - started
        return _Fitted(f"{self.config.name}-{name}", pipeline, evaluation, tuple(notes), seconds)

    def _mitigate(
        self, before: _Fitted, of: str, mitigation: Mitigation, rows: MitigatedRows, tell: Progress
    ) -> _Fitted:
        started, training = time.perf_counter(), self.rows.train
        tell(f"{self.estimator_name}: mitigating for {rows.attribute} by {mitigation.method}", 0.0)
        mitigated: Mitigated = mitigate(
            self.estimator_name,
            before.pipeline,
            mitigation,
            table=self.data.table.iloc[training],
            labels=self.data.labels.values[training],
            rows=rows,
            seed=self.config.split.seed,
        )
        evaluation = self._evaluate(mitigated.pipeline, tell)
        change = compare(
            before.evaluation,
            evaluation,
            of=of,
            method=mitigation.method,
            attribute=rows.attribute,
            constraint=mitigation.constraint,
            details=mitigated.details,
        )
        notes = (*self.data.notes, *mitigated.notes)
        title = f"{before.title}-{mitigation.method}"
        return _Fitted(title, mitigated.pipeline, evaluation, notes, time.perf_counter() - started, change)

    def _evaluate(self, pipeline: Pipeline, tell: Progress) -> Evaluation:
        tell(f"{self.estimator_name}: measuring on {len(self.rows.test):,} held-out rows", 0.4)
        return evaluate(pipeline, self.data, self.rows.test, self.config.gates)

    def _register(self, fitted: _Fitted, trained: Pipeline, started: float, tell: Progress) -> TrainedVersion:
        name, config = self.estimator_name, self.config
        results = gate_results(fitted.evaluation, config.gates)
        tags = self._version_tags(fitted.change)
        tell(f"{name}: logging the run", 0.5)
        run_tags = {**tags, "fairmind.model": config.name, **commit_tags()}
        with self.store.run(fitted.title, params=self._params(trained, fitted.change), tags=run_tags) as run:
            self._log(run, fitted)
            tell(f"{name}: compiling, proving and registering", 0.7)
            candidate = Candidate(
                name=config.name,
                pipeline=fitted.pipeline,
                features=self.data.features,
                rows=self.data.table.iloc[self.rows.test],
                trusted=kind_of(name, self.estimator, self.data.labels.task).trusted_types,
                gates=results,
                bias_policy=config.gates.recorded_policy,
                tags=tags,
                scores=self._score_counts(fitted.evaluation),
                profile=reference_profile(self.data, self.rows, fitted.evaluation),
            )
            registered = register(run, candidate)
        return TrainedVersion(
            name=registered.reference.name,
            version=registered.reference.version or "",
            estimator=name,
            reference=registered.reference,
            metrics=fitted.evaluation.numbers(),
            gates=registered.gates,
            proof=registered.proof,
            run_id=run.run_id,
            seconds=time.perf_counter() - started,
            notes=fitted.notes,
            mitigation=fitted.change.registered_as(str(registered.reference)) if fitted.change else None,
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

    def _params(self, trained: Pipeline, change: BeforeAfter | None) -> dict[str, Any]:
        model = trained.named_steps["model"]
        mitigation: dict[str, Any] = {}
        if change is not None:
            asked = {"method": change.method, "attribute": change.attribute, "constraint": change.constraint}
            mitigation = {f"mitigation.{key}": str(value) for key, value in asked.items()}
            mitigation["mitigation.of"] = change.before.version
        return {
            "estimator": self.estimator.kind,
            **{f"estimator.{key}": value for key, value in model.get_params(deep=False).items()},
            "features": list(self.data.features.roles),
            "unknown_categories": self.config.unknown_categories.value,
            "rows_train": len(self.rows.train),
            "rows_test": len(self.rows.test),
            "split_seed": self.config.split.seed,
            **mitigation,
        }

    def _version_tags(self, change: BeforeAfter | None) -> dict[str, str]:
        """Return facts that a later bias test needs and that the model's files do not hold."""
        tags = {
            "fairmind.estimator": self.estimator_name,
            "fairmind.task": self.data.labels.task.value,
            "fairmind.label": self.config.label,
            "fairmind.favourable": json.dumps(self.data.labels.favourable),
            "fairmind.protected": json.dumps(list(self.config.protected)),
            "fairmind.data": self.data.fingerprint.digest,
        }
        if change is None:
            return tags
        return {
            **tags,
            MITIGATION_TAG: change.method.value,
            f"{MITIGATION_TAG}.attribute": change.attribute,
            f"{MITIGATION_TAG}.constraint": change.constraint.value,
            MITIGATION_OF_TAG: change.before.version.rpartition("/")[2],
        }

    def _log(self, run: Run, fitted: _Fitted) -> None:
        data, evaluation = self.data, fitted.evaluation
        changed = fitted.change.numbers() if fitted.change else {}
        run.log_metrics({**evaluation.numbers(), **changed, "fit_seconds": fitted.seconds})
        run.log_data(
            self.config.name,
            digest=data.fingerprint.digest,
            source=self.config.source.describe(),
            rows=data.fingerprint.rows,
            columns=data.fingerprint.columns,
        )
        run.log_text(self.config.to_yaml(), "config.yaml")
        if fitted.notes:
            run.log_text("\n".join(fitted.notes) + "\n", "notes.txt")
        if evaluation.bias is not None:
            # Counts and rates per group: the protected attributes of single rows are kept nowhere.
            run.log_text(evaluation.bias.model_dump_json(indent=1), "fairness/report.json")
        if fitted.change is not None:
            run.log_text(fitted.change.model_dump_json(indent=1), MITIGATION_FILE)
        for name, figure in figures(evaluation, data.labels, fitted.title):
            run.log_figure(figure, f"plots/{name}")


def _half(tell: Progress, start: float, what: str, fraction: float) -> None:
    tell(what, start + fraction / 2)
