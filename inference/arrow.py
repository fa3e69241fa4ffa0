"""Arrow IPC streams to columns. Not for workers: pyarrow weighs more than all they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.arrays import Texts, Values
from inference.columns import columns_from_lists
from inference.errors import MalformedColumnsError
from inference.runtime import Columns
from inference.signature import Signature

_MAX_TEXT = 200


def columns_from_arrow(content: bytes, signature: Signature) -> tuple[Columns, int]:
    """Return one array per signature column, and the number of rows, from an Arrow IPC stream.

    Integers and floats of any width, booleans, and strings, dictionary-encoded or not, are taken; null is a missing
    value. Columns outside the signature are left aside.

    Raises:
        MalformedColumnsError: The content is no Arrow stream, a name is there twice, or a column has another type.
        EmptyBatchError: There are no rows.
        SignatureMismatchError: A column is missing, or a value does not fit; names row and column.
    """
    import pyarrow as pa

    try:
        with pa.ipc.open_stream(content) as stream:
            table = stream.read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise MalformedColumnsError(f"this is no Arrow stream ({type(error).__name__})") from None
    values: dict[str, Values] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if name in values:
            raise MalformedColumnsError(f"column '{name[:_MAX_TEXT]}' is there twice")
        if name in signature.names:
            values[name] = values_of(name, column)
    return columns_from_lists(values, signature)


def values_of(name: str, column: Any) -> Values:
    """Return an Arrow column as a decoder takes it; null is a missing value.

    Raises:
        MalformedColumnsError: It holds neither numbers, truth values nor strings.
    """
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _texts(name, column)
    if pa.types.is_null(kind) or (column.null_count and (pa.types.is_boolean(kind) or pa.types.is_integer(kind))):
        return list(column.to_pylist())
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        numbers: NDArray[Any] = column.to_numpy()  # a null among floats is NaN
        return numbers
    raise MalformedColumnsError(f"column '{name[:_MAX_TEXT]}' is neither of numbers, truth values nor strings")


def _texts(name: str, column: Any) -> Values:
    """Return a column of strings with each distinct one made once; null is a code of its own."""
    import pyarrow as pa

    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    encoded = encoded.unify_dictionaries().combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):
        if not encoded.num_chunks:
            return []
        encoded = encoded.chunk(0)
    if not (pa.types.is_string(encoded.type.value_type) or pa.types.is_large_string(encoded.type.value_type)):
        return values_of(name, column.cast(column.type.value_type))
    distinct = np.array([*encoded.dictionary.to_pylist(), None], dtype=object)
    codes = encoded.indices.fill_null(len(distinct) - 1).to_numpy(zero_copy_only=False)
    return Texts(distinct, codes.astype(np.intp))
