"""Columns as the input tensors of the Open Inference Protocol, whichever way they then go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inference.runtime import EncodedColumns, plain_columns
from inference.tensors import DATATYPES
from remotes.definition import RemoteModel
from remotes.errors import RemoteRefusedError

DTYPES: Final = {
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in (16, 32, 64)},
    "BOOL": np.dtype(np.bool_),
    "BYTES": np.dtype(object),
}
"""The datatypes that columns can be sent as."""


def input_tensors(
    model: RemoteModel, columns: EncodedColumns, rows: int
) -> Iterator[tuple[str, str, list[int], NDArray[Any]]]:
    """Yield name, datatype, shape and flat values of each input.

    Raises:
        RemoteRefusedError: A value cannot be sent as its server's datatype.
    """
    definition, plain = model.definition, plain_columns(columns)
    names = [column.name for column in model.signature.columns]
    if definition.layout == "matrix":
        datatype = definition.datatypes.get(definition.matrix_name, "FP64")
        matrix = np.column_stack([plain[name] for name in names])
        flat = _as(matrix.reshape(-1), datatype, definition.matrix_name)
        yield definition.matrix_name, datatype, [rows, len(names)], flat
        return
    shape = [rows, 1] if definition.is_tall else [rows]
    for column in model.signature.columns:
        datatype = definition.datatypes.get(column.name, DATATYPES[column.type])
        yield column.name, datatype, shape, _as(plain[column.name], datatype, column.name)


def _as(values: NDArray[Any], datatype: str, name: str) -> NDArray[Any]:
    """Return values in the dtype of a datatype; what would lose more than digits is refused."""
    wanted = DTYPES[datatype]
    if values.dtype == wanted:
        return values
    if wanted.kind == "O":
        if values.dtype.kind == "f" and np.isnan(values).any():
            raise RemoteRefusedError(f"column '{name}' has a missing value, which {datatype} cannot hold")
        return values.astype(str).astype(object)
    if values.dtype.kind == "O":
        raise RemoteRefusedError(f"column '{name}' is of texts and goes as {datatype}")
    if wanted.kind in "iu":
        if not np.isfinite(values).all():
            raise RemoteRefusedError(f"column '{name}' has a missing value, which {datatype} cannot hold")
        if len(values) and not np.iinfo(wanted).min <= values.min() <= values.max() <= np.iinfo(wanted).max:
            raise RemoteRefusedError(f"column '{name}' has a value that {datatype} does not hold")
        if values.dtype.kind == "f" and (values != np.trunc(values)).any():
            raise RemoteRefusedError(f"column '{name}' has a value with decimals, which {datatype} does not hold")
    if wanted.kind == "b" and not np.isin(values, (0, 1)).all():
        raise RemoteRefusedError(f"column '{name}' has a value that {datatype} does not hold")
    with np.errstate(over="ignore"):
        sent = values.astype(wanted)
    if wanted.kind == "f" and np.isinf(sent).any():  # no row has one: it is made here
        raise RemoteRefusedError(f"column '{name}' has a value that {datatype} does not hold")
    return sent
