"""The reference profile of a version to be: what live traffic will be compared with."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from inference.signature import Task
from monitoring.cells import category_profile, column_profile, count_scores, sparse
from monitoring.counted_window import as_answers
from monitoring.profile import ColumnProfile, ReferenceProfile, ScoreProfile, labels_of
from training.data import TrainingData
from training.evaluation import Evaluation
from training.split import Rows


def reference_profile(data: TrainingData, rows: Rows, evaluation: Evaluation) -> ReferenceProfile:
    """Return the profile: features of the training rows; predictions, scores and outcomes of the held-out ones."""
    labels = data.labels
    features = pa.Table.from_pandas(data.table.iloc[rows.train], preserve_index=False)
    empty = ReferenceProfile(
        source="registered",
        feature_rows=len(rows.train),
        scored_rows=evaluation.rows,
        classes=labels.classes,
        features={name: column_profile(features.column(name)) for name in features.column_names},
    )
    prediction = _answers(evaluation.predicted, empty)
    return empty.model_copy(
        update={
            "prediction": prediction,
            "outcome": _answers(evaluation.truth, empty),
            "score": _scores(evaluation, empty) if labels.task is Task.BINARY else None,
        }
    )


def _answers(values: NDArray[Any], profile: ReferenceProfile) -> ColumnProfile:
    column = pa.array(values)
    if not profile.classes:
        return column_profile(column)
    return category_profile(as_answers(column, profile), labels_of(profile.classes))


def _scores(evaluation: Evaluation, profile: ReferenceProfile) -> ScoreProfile | None:
    if evaluation.probabilities is None:
        return None
    scores, second = evaluation.probabilities[:, 1], profile.classes[1]
    decided, true = evaluation.predicted == second, evaluation.truth == second
    counts, positives = count_scores(scores, decided), count_scores(scores[true], decided[true])
    return ScoreProfile(
        counts=(sparse(counts[0]), sparse(counts[1])), positives=(sparse(positives[0]), sparse(positives[1]))
    )
