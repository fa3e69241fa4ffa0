"""A bias test of a table: its columns, and what a model says of its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import pandas as pd

from assessment.columns import BiasTestColumns
from assessment.errors import MissingColumnError, NoProtectedAttributeError
from inference.frames import columns_from_frame
from inference.runtime import Columns
from inference.served_model import Predictions
from inference.signature import Signature

_ROWS_PER_CALL = 50_000


class Predictor(Protocol):
    """A version that is ready to answer, as `inference.served_model.ServedModel` is."""

    @property
    def signature(self) -> Signature:
        """What it accepts."""
        ...

    def predict(self, columns: Columns, rows: int) -> Predictions:
        """Return the predictions of rows whose columns fit the signature."""
        ...


def score(
    batches: Iterable[pd.DataFrame], served: Predictor, told: Callable[[int], None] | None = None
) -> list[Any]:
    """Return what a model predicts of all rows, in order; `told` hears how many have been scored.

    Raises:
        SignatureMismatchError: A column is missing, or a value does not fit; rows are counted within a batch.
    """
    predictions: list[Any] = []
    for batch in batches:
        for start in range(0, len(batch), _ROWS_PER_CALL):
            columns, rows = columns_from_frame(batch.iloc[start : start + _ROWS_PER_CALL], served.signature)
            predictions += served.predict(columns, rows).prediction.tolist()
            if told is not None:
                told(len(predictions))
    return predictions


def table_columns(
    frame: pd.DataFrame, predictions: Sequence[Any], *, label: str | None, protected: Sequence[str]
) -> BiasTestColumns:
    """Return the columns of a test; attributes as categoricals, which are counted without looking at each row.

    Raises:
        MissingColumnError: The table has no such column.
        NoProtectedAttributeError: No attribute is named.
    """
    if not protected:
        raise NoProtectedAttributeError
    for column in (*([label] if label is not None else []), *protected):
        if column not in frame.columns:
            raise MissingColumnError(column, list(frame.columns))
    return BiasTestColumns(
        predictions=predictions,
        outcomes=[None] * len(frame) if label is None else labels(frame[label]),
        protected={name: frame[name].astype("category") for name in dict.fromkeys(protected)},  # type: ignore[misc] # a categorical is read as the sequence it is
    )


def labels(column: pd.Series) -> list[Any]:
    """Return the labels of a column as plain values, None where one is missing."""
    return list(column.astype(object).where(column.notna(), None))
