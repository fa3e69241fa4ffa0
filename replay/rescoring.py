"""Archived rows through a compiled version: what it would have answered, and which rows it would have refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from inference.arrays import Values, array_of, whole_numbers
from inference.arrow import values_of
from inference.columns import encoded_columns
from inference.errors import SignatureMismatchError
from inference.runtime import EncodedColumns
from inference.served_model import Predictions
from inference.signature import Column, ColumnType, Signature, Task
from monitoring.feature_table import AS_JSON, PREDICTION, SCORE
from replay.errors import NotComparableError

NO_LABEL: Final = -1
"""The code of a row without an answer."""
_MOST_LABELS: Final = 1_000


class Scorer(Protocol):
    """A version that is ready to answer."""

    @property
    def signature(self) -> Signature:
        """What it accepts and answers."""
        ...

    def predict(self, columns: EncodedColumns, rows: int) -> Predictions:
        """Return the predictions of rows whose columns fit the signature."""
        ...


@dataclass(slots=True)
class Labels:
    """Labels by their code; true is another than 1, and 1.0 is 1."""

    names: list[Any] = field(default_factory=list)
    _codes: dict[tuple[bool, Any], int] = field(default_factory=dict)

    def code(self, label: Any) -> int:
        """Return the code of a label.

        Raises:
            NotComparableError: There are more labels than decisions have.
        """
        key = isinstance(label, bool), label
        known = self._codes.get(key)
        if known is None:
            if len(self.names) == _MOST_LABELS:
                raise NotComparableError(
                    f"there are more than {_MOST_LABELS:,} different answers; a replay compares decisions, of "
                    "classifiers alone"
                )
            known = self._codes[key] = len(self.names)
            self.names.append(label)
        return known

    def codes(self, labels: Sequence[Any]) -> NDArray[np.int64]:
        """Return the codes of labels; None is none."""
        found = (NO_LABEL if label is None else self.code(label) for label in labels)
        return np.fromiter(found, np.int64, len(labels))


@dataclass(frozen=True, slots=True)
class Answers:
    """What a version answers to N rows: codes of labels, and scores (NaN: none). Without an answer it refused."""

    labels: NDArray[np.int64]
    scores: NDArray[np.float64]

    @property
    def refused(self) -> NDArray[np.bool_]:
        """Rows that have no answer."""
        return np.asarray(self.labels == NO_LABEL)

    def take(self, places: NDArray[np.intp]) -> Answers:
        """Return the answers to some of the rows."""
        return Answers(self.labels[places], self.scores[places])


def missing_columns(signature: Signature, table: pa.Schema) -> tuple[str, ...]:
    """Return the columns that a version cannot do without, and a table does."""
    needed = (column.name for column in signature.columns if not column.optional)
    return tuple(name for name in needed if name not in table.names)


def rescore(scorer: Scorer, table: pa.Table, labels: Labels) -> Answers:
    """Return what a version answers to rows that have all columns it needs.

    A row with a value that its signature does not take has no answer, as it would have had none.
    """
    signature, rows = scorer.signature, table.num_rows
    takes = np.ones(rows, np.bool_)
    codes, scores = np.full(rows, NO_LABEL, np.int64), np.full(rows, np.nan)
    values = {
        column.name: _values(table, column) for column in signature.columns if column.name in table.column_names
    }
    while takes.any():
        chosen = np.flatnonzero(takes)
        taken = values if len(chosen) == rows else {name: _take(one, chosen) for name, one in values.items()}
        try:
            columns, count = encoded_columns(taken, signature)
        except SignatureMismatchError as error:
            refused = next((column for column in signature.columns if column.name == error.column), None)
            if refused is None:
                raise
            takes[chosen] &= _fitting(refused, taken[refused.name])
            continue
        predictions = scorer.predict(columns, count)
        codes[chosen] = _codes(predictions.prediction, labels)
        found = predictions.scores(signature)
        if found is not None:
            scores[chosen] = found
        break
    return Answers(codes, scores)


def logged_answers(table: pa.Table, labels: Labels) -> Answers:
    """Return what was answered to archived rows when they were served."""
    column = table.column(PREDICTION)
    encoded = column.combine_chunks().dictionary_encode()
    names = encoded.dictionary.to_pylist()
    if pa.types.is_string(column.type):
        names = [orjson.loads(name) for name in names]
    codes = labels.codes(names)[encoded.indices.to_numpy(zero_copy_only=False)]
    scores = table.column(SCORE).to_numpy().astype(np.float64)  # a null is NaN
    return Answers(codes, scores)


def _codes(predicted: NDArray[Any], labels: Labels) -> NDArray[np.int64]:
    if predicted.ndim != 1:
        raise NotComparableError("the version answers several values to a row; a replay compares decisions")
    distinct, inverse = np.unique(predicted, return_inverse=True)
    return labels.codes(distinct.tolist())[inverse]


def _values(table: pa.Table, column: Column) -> Values:
    """Return an archived column as a decoder takes it."""
    field_ = table.schema.field(column.name)
    if field_.metadata == AS_JSON:
        texts = table.column(column.name).to_pylist()
        values: Values = [None if text is None else orjson.loads(text) for text in texts]
    else:
        values = values_of(column.name, table.column(column.name))
    if column.type is ColumnType.LONG and type(values) is list:
        return whole_numbers(values)
    return values


def _take(values: Values, places: NDArray[np.intp]) -> Values:
    if isinstance(values, list):
        return [values[place] for place in places]
    array = values if isinstance(values, np.ndarray) else array_of(values)  # type: ignore[arg-type]  # no other is left
    return array[places]


def _fitting(column: Column, values: Values) -> NDArray[np.bool_]:
    """Return which values a column takes; each distinct one is asked once."""
    alone = Signature(columns=(column,), task=Task.OPAQUE)
    fits: dict[tuple[type, Any], bool] = {}
    listed = values if isinstance(values, list) else array_of(values).tolist()  # type: ignore[arg-type]
    found = np.empty(len(listed), np.bool_)
    for place, value in enumerate(listed):
        key = type(value), value
        if key not in fits:
            fits[key] = _fits(alone, column.name, value)
        found[place] = fits[key]
    return found


def _fits(alone: Signature, name: str, value: Any) -> bool:
    try:
        encoded_columns({name: [value]}, alone)
    except SignatureMismatchError:
        return False
    return True
