"""A bias test of a table: its columns, and what a model says of its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assessment.columns import BiasTestColumns, Labels, compact
from assessment.errors import MissingColumnError, NoProtectedAttributeError
from assessment.predictor import Predictor
from assessment.proxies import ProxyReport, drawn, proxy_report
from inference.errors import SignatureMismatchError
from inference.frames import columns_from_frame

_ROWS_PER_CALL = 50_000


def score(batches: Iterable[pd.DataFrame], served: Predictor, told: Callable[[int], None] | None = None) -> Labels:
    """Return what a model predicts of all rows, in order; `told` hears how many have been scored.

    Raises:
        SignatureMismatchError: A column is missing, or a value does not fit.
    """
    predictions: list[NDArray[Any]] = []
    scored = 0
    for batch in batches:
        for start in range(0, len(batch), _ROWS_PER_CALL):
            part = batch.iloc[start : start + _ROWS_PER_CALL]
            try:
                columns, rows = columns_from_frame(part, served.signature)
            except SignatureMismatchError as error:
                if error.row is None:
                    raise
                raise error.at_row(error.row + scored) from None
            predictions.append(served.predict(columns, rows).prediction)
            scored += rows
            if told is not None:
                told(scored)
    if not predictions:
        return []
    found = np.concatenate(predictions)
    return compact(found.tolist()) if found.dtype.kind == "O" else found


def table_columns(
    frame: pd.DataFrame, predictions: Labels, *, label: str | None, protected: Sequence[str]
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


def labels(column: pd.Series) -> Labels:
    """Return the labels of a column, None or NaN where one is missing."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        return column.to_numpy()
    plain = column.astype(object).where(column.notna(), None)
    return compact(plain.tolist())


def table_proxies(
    frame: pd.DataFrame,
    protected: Sequence[str],
    features: Sequence[str],
    read: Callable[[list[str]], pd.DataFrame],
    edges: Mapping[str, Sequence[float]],
) -> tuple[ProxyReport, ...]:
    """Return what the features of a table tell of each protected attribute, on rows drawn at random.

    Args:
        frame: All rows of the protected attributes.
        protected: Their names.
        features: The columns that a model reads, or could.
        read: Returns all rows of some columns; asked for one at a time, since few of the rows are kept.
        edges: Where a measurement is cut into groups, by attribute.
    """
    rows = drawn(len(frame), np.random.default_rng(0))  # the same rows for the same test
    columns = {name: labels(read([name])[name].iloc[rows]) for name in features}
    return tuple(
        proxy_report(name, frame[name].iloc[rows].tolist(), columns, edges.get(name))
        for name in dict.fromkeys(protected)
    )
