"""Some of a request's rows: those that one of several variants answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from inference.arrays import Texts, Values
from inference.errors import SignatureMismatchError
from inference.tensors import Tensor


def values_at(values: Values, positions: Sequence[int] | None) -> Values:
    """Return the values at some positions (None: all), in the form in which they came."""
    if positions is None:
        return values
    if isinstance(values, Texts):
        return Texts(values.distinct, values.codes[np.asarray(positions, dtype=np.intp)])
    if isinstance(values, np.ndarray):
        return values[np.asarray(positions, dtype=np.intp)]
    return items_at(values, positions)


def items_at(values: Sequence[Any], positions: Sequence[int] | None) -> Sequence[Any]:
    """Return the items of a sequence at some positions (None: all)."""
    return values if positions is None else [values[position] for position in positions]


def tensors_at(tensors: Sequence[Tensor], positions: Sequence[int] | None) -> Sequence[Tensor]:
    """Return the rows at some positions (None: all) of tensors of the shape [N], or [N, F]."""
    return tensors if positions is None else [_tensor_at(tensor, positions) for tensor in tensors]


def as_sent(error: SignatureMismatchError, positions: Sequence[int] | None) -> SignatureMismatchError:
    """Return an error about the rows at some positions with its row counted as the client sent it."""
    if error.row is None or positions is None:
        return error
    return error.at_row(positions[error.row])


def _tensor_at(tensor: Tensor, positions: Sequence[int]) -> Tensor:
    width = math.prod(tensor.shape[1:])
    wanted: Sequence[int] = positions
    if width != 1:
        wanted = [width * position + column for position in positions for column in range(width)]
    shape = [len(positions), *tensor.shape[1:]]
    return Tensor(tensor.name, tensor.datatype, shape, values_at(tensor.values, wanted))
