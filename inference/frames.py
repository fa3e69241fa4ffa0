"""Tables of named columns, and MLflow's four JSON shapes for them, to columns.

Columns outside the signature are left aside: a data set carries its labels and protected attributes beside the
features, and MLflow's own server drops what a model does not ask for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from inference.arrays import Values, whole_numbers
from inference.columns import columns_from_lists
from inference.errors import EmptyBatchError, MalformedColumnsError
from inference.runtime import Columns
from inference.signature import ColumnType, Signature

if TYPE_CHECKING:
    import pandas as pd

SHAPES: Final = ("dataframe_split", "dataframe_records", "instances", "inputs")
"""The members of a scoring request of which exactly one must be there."""

_MAX_TEXT: Final = 200


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

    Whole floats are taken for an integer column, since pandas keeps integers with gaps as floats; nothing else is
    cast. Members other than the four shapes are left aside.

    Raises:
        MalformedColumnsError: Not exactly one of the four shapes is there, or it is built otherwise.
        EmptyBatchError: There are no rows.
        SignatureMismatchError: A column is missing or does not fit.
    """
    given = [shape for shape in SHAPES if shape in body]
    if len(given) != 1:
        raise MalformedColumnsError(f"the body must have exactly one of {', '.join(SHAPES)}")
    shape, value = given[0], body[given[0]]
    if shape == "dataframe_split":
        return columns_from_split(value, signature)
    if shape == "dataframe_records":
        return columns_from_records(value, signature)
    if shape == "inputs" and type(value) is dict:
        return columns_from_named_lists(value, signature)
    return columns_from_instances(value, signature, member=shape)


def columns_from_split(split: Any, signature: Signature) -> tuple[Columns, int]:
    """Return columns from `{"columns": [...], "data": [[...], ...]}`; an `index` is left aside.

    Without `columns`, the values of a row are in the signature's order.

    Raises:
        MalformedColumnsError, EmptyBatchError, SignatureMismatchError: As for `columns_from_scoring`.
    """
    if type(split) is not dict or type(data := split.get("data")) is not list:
        raise MalformedColumnsError("'dataframe_split' must be an object with a list 'data'")
    names = split.get("columns", [column.name for column in signature.columns])
    if type(names) is not list or not all(type(name) in {str, int} for name in names):
        raise MalformedColumnsError("'columns' must be a list of names")
    names = [str(name) for name in names]  # pandas numbers columns that were given no names
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise MalformedColumnsError(f"column '{twice[:_MAX_TEXT]}' is there twice")
    return _from_positions("data", data, names, signature)


def columns_from_records(records: Any, signature: Signature) -> tuple[Columns, int]:
    """Return columns from a list of objects; a name that a record lacks is a missing value in its row.

    Raises:
        MalformedColumnsError, EmptyBatchError, SignatureMismatchError: As for `columns_from_scoring`.
    """
    if type(records) is not list or not all(type(record) is dict for record in records):
        raise MalformedColumnsError("records must be a list of objects of column names and values")
    if not records:
        raise EmptyBatchError
    present = set().union(*records)
    values: dict[str, Values] = {
        column.name: [record.get(column.name) for record in records]
        for column in signature.columns
        if column.name in present
    }
    return columns_from_lists(_cast(values, signature), signature)


def columns_from_instances(
    instances: Any, signature: Signature, *, member: str = "instances"
) -> tuple[Columns, int]:
    """Return columns from a list of objects, of lists in the signature's order, or of the scalars of one column.

    Raises:
        MalformedColumnsError, EmptyBatchError, SignatureMismatchError: As for `columns_from_scoring`.
    """
    if type(instances) is not list:
        raise MalformedColumnsError(f"'{member}' must be a list")
    kinds = set(map(type, instances))
    if kinds == {dict}:
        return columns_from_records(instances, signature)
    if kinds & {dict, list} and len(kinds) > 1:
        raise MalformedColumnsError(f"'{member}' mixes objects, lists and single values")
    names = [column.name for column in signature.columns]
    rows = instances if kinds <= {list} else [[value] for value in instances]
    return _from_positions(member, rows, names, signature)


def columns_from_named_lists(lists: Any, signature: Signature) -> tuple[Columns, int]:
    """Return columns from an object of column names and lists of values, flat or of the shape [N, 1].

    Raises:
        MalformedColumnsError, EmptyBatchError, SignatureMismatchError: As for `columns_from_scoring`.
    """
    if type(lists) is not dict or not all(type(values) is list for values in lists.values()):
        raise MalformedColumnsError("'inputs' must hold a list for every column")
    values: dict[str, Values] = {name: _flat(name, lists[name]) for name in _known(lists, signature)}
    return columns_from_lists(_cast(values, signature), signature)


def rows_from_columns(columns: Columns) -> list[dict[str, Any]]:
    """Return columns as JSON rows, as `columns_from_rows` takes them; NaN becomes None."""
    lists = [
        [None if math.isnan(value) else value for value in array.tolist()]
        if array.dtype.kind == "f"
        else array.tolist()
        for array in columns.values()
    ]
    return [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]


def _known(names: Iterable[str], signature: Signature) -> list[str]:
    return [name for name in names if name in signature.names]


def _cast(values: dict[str, Values], signature: Signature) -> dict[str, Values]:
    for column in signature.columns:
        given = values.get(column.name)
        if column.type is ColumnType.LONG and type(given) is list:
            values[column.name] = whole_numbers(given)
    return values


def _flat(name: str, values: list[Any]) -> list[Any]:
    kinds = set(map(type, values))
    if list not in kinds:
        return values
    if kinds != {list} or any(len(value) != 1 for value in values):
        raise MalformedColumnsError(f"column '{name[:_MAX_TEXT]}' must have the shape [N] or [N, 1]")
    return [value[0] for value in values]


def _from_positions(
    member: str, rows: Sequence[Any], names: Sequence[str], signature: Signature
) -> tuple[Columns, int]:
    """Return columns from lists of values, one list per row, in the order of `names`."""
    if not rows:
        raise EmptyBatchError
    for index, row in enumerate(rows):
        if type(row) is not list or len(row) != len(names):
            raise MalformedColumnsError(f"'{member}', row {index}: must be a list of {len(names)} values")
    by_name = dict(zip(names, zip(*rows, strict=True), strict=True))
    values: dict[str, Values] = {name: list(by_name[name]) for name in _known(names, signature)}
    return columns_from_lists(_cast(values, signature), signature)
