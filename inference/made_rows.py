"""A row that fits a signature, to try a model with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.runtime import Columns
from inference.signature import ColumnType, Signature


def any_row(signature: Signature) -> Columns:
    """Return one row that fits the signature: zeros, False, and texts that are empty or the first category."""
    columns: dict[str, NDArray[Any]] = {}
    for column in signature.columns:
        match column.type:
            case ColumnType.STRING | ColumnType.ANY:
                columns[column.name] = np.array([column.categories[0] if column.categories else ""], dtype=object)
            case ColumnType.DOUBLE:
                columns[column.name] = np.zeros(1)
            case ColumnType.LONG:
                columns[column.name] = np.zeros(1, dtype=np.int64)
            case ColumnType.BOOLEAN:
                columns[column.name] = np.zeros(1, dtype=np.bool_)
    return columns
