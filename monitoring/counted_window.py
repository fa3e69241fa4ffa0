"""What a window of rows is to drift: counts over the cells of a profile, additive over rows, workers and time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from monitoring.cells import (
    Column,
    count_column,
    count_scores,
    dense,
    reference_counts,
)
from monitoring.drift_statistics import Counts
from monitoring.number_cells import floats
from monitoring.profile import NumberProfile, ReferenceProfile, labels_of

PREDICTION: Final = "fairmind.prediction"
SCORE: Final = "fairmind.score"
SERVED_AT: Final = "fairmind.served_at"
VARIANT: Final = "fairmind.variant"


@dataclass(frozen=True, slots=True)
class CountedWindow:
    """Counts of `rows` rows.

    `features` and `prediction` are vectors as `cells.count_column` makes them; `scores` is [2, 1001] by what was
    decided and by thousandths of the score, None where a score means no probability.
    """

    rows: int
    features: Mapping[str, Counts]
    prediction: Counts | None = None
    scores: Counts | None = None
    outcome: Counts | None = field(default=None)

    def __add__(self, other: Self) -> Self:
        """Return the counts of both windows' rows."""
        return type(self)(
            self.rows + other.rows,
            {name: self.features[name] + other.features[name] for name in self.features if name in other.features},
            _sum(self.prediction, other.prediction),
            _sum(self.scores, other.scores),
            _sum(self.outcome, other.outcome),
        )


def reference_window(profile: ReferenceProfile) -> CountedWindow:
    """Return the counts that a registered profile is."""
    return CountedWindow(
        profile.feature_rows,
        {name: reference_counts(column) for name, column in profile.features.items()},
        None if profile.prediction is None else reference_counts(profile.prediction),
        None if profile.score is None else dense(profile.score.counts),
        None if profile.outcome is None else reference_counts(profile.outcome),
    )


def count_table(profile: ReferenceProfile, table: pa.Table, *, label: str | None = None) -> CountedWindow:
    """Return the counts of a table: features by their names, and what was answered where it has these columns.

    Columns that the profile does not know are left aside. `label` names the column of outcomes, where there is one.
    """
    rows, names = table.num_rows, set(table.column_names)
    features = {
        name: count_column(column, table.column(name) if name in names else None, rows)
        for name, column in profile.features.items()
    }
    prediction = outcome = scores = None
    if profile.prediction is not None and PREDICTION in names:
        answered = _answers(profile, table.column(PREDICTION))
        prediction = count_column(profile.prediction, answered, rows)
        if profile.score is not None and SCORE in names:
            found = np.concatenate([floats(chunk) for chunk in table.column(SCORE).chunks] or [np.empty(0)])
            scores = count_scores(found, is_second(profile, answered))
    if profile.outcome is not None and label is not None and label in names:
        outcome = count_column(profile.outcome, as_answers(table.column(label), profile), rows)
    return CountedWindow(rows, features, prediction, scores, outcome)


def is_second(profile: ReferenceProfile, answered: Column) -> NDArray[np.bool_]:
    """Return for each answer, as JSON, whether it is the second of two classes."""
    second = labels_of(profile.classes)[1] if len(profile.classes) == 2 else ""
    return np.asarray(pc.fill_null(pc.equal(answered, second), False).to_numpy(), dtype=np.bool_)


def as_answers(column: Column, profile: ReferenceProfile) -> Column:
    """Return labels of a table as the log writes answers: numbers of a regressor as they are, classes as JSON.

    A file knows neither 1 from 1.0 nor, often, 1 from "1": labels are compared with the classes as people write
    them.
    """
    if isinstance(profile.outcome, NumberProfile):
        return column
    classes = dict(zip(map(_spelled, profile.classes), labels_of(profile.classes), strict=True))
    told = column.unique()
    texts = [None if value is None else classes.get(_spelled(value), str(value)) for value in told.to_pylist()]
    places = pc.index_in(column, value_set=told, skip_nulls=True)
    return pa.array(texts, type=pa.string()).take(places)


def _answers(profile: ReferenceProfile, column: Column) -> Column:
    """Return answers as JSON texts, or as the numbers that a regressor gives."""
    kind = column.type
    if isinstance(profile.prediction, NumberProfile) or not pa.types.is_dictionary(kind):
        return column
    return column.cast(kind.value_type)


def _spelled(label: object) -> str:
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label).lower() if isinstance(label, bool) or str(label) in {"True", "False"} else str(label)


def _sum(one: Counts | None, other: Counts | None) -> Counts | None:
    return None if one is None or other is None else one + other
