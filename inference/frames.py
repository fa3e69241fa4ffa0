"""Data frames, and scoring requests to one model, to columns.

Columns outside the signature are left aside: a data set carries its labels and protected attributes beside the
features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from inference.arrays import Values, whole_numbers
from inference.columns import columns_from_lists
from inference.runtime import Columns
from inference.scoring_tables import scoring_table
from inference.signature import ColumnType, Signature

if TYPE_CHECKING:
    import pandas as pd


def columns_from_frame(frame: pd.DataFrame, signature: Signature) -> tuple[Columns, int]:
    """Return one array per signature column, and the number of rows, from a data frame.

    Raises:
        EmptyBatchError: The frame has no rows.
        SignatureMismatchError: A column is missing or does not fit.
    """
    values: dict[str, Values] = {}
    for column in signature.columns:
        if column.name not in frame.columns:
            continue
        series = frame[column.name]
        if isinstance(series.dtype, np.dtype) and series.dtype.kind in "biuf":
            values[column.name] = series.to_numpy()
            continue
        given = series.astype(object).where(series.notna(), None).tolist()
        if column.type is not ColumnType.STRING:  # an object column may hold numpy's scalars
            given = [value.item() if isinstance(value, np.generic) else value for value in given]
        values[column.name] = given
    return columns_from_lists(_cast(values, signature), signature)


def columns_from_scoring(body: Mapping[str, Any], signature: Signature) -> tuple[Columns, int]:
    """Return one array per signature column, and the number of rows, from a request to MLflow's scoring server.

    Raises:
        MalformedColumnsError, EmptyBatchError, SignatureMismatchError: As for `scoring_table` and its columns.
    """
    table = scoring_table(body)
    return table.columns(signature), table.rows


def rows_from_columns(columns: Columns) -> list[dict[str, Any]]:
    """Return columns as JSON rows, as `columns_from_rows` takes them; NaN becomes None."""
    lists = [
        [None if math.isnan(value) else value for value in array.tolist()]
        if array.dtype.kind == "f"
        else array.tolist()
        for array in columns.values()
    ]
    return [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]


def _cast(values: dict[str, Values], signature: Signature) -> dict[str, Values]:
    for column in signature.columns:
        given = values.get(column.name)
        if column.type is ColumnType.LONG and type(given) is list:
            values[column.name] = whole_numbers(given)
    return values
