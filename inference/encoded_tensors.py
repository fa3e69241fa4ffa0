"""Arrays to Open Inference Protocol tensors, JSON or raw."""

from __future__ import annotations

import contextlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inference.errors import Mismatch, SignatureMismatchError
from inference.raw_texts import raw_from_texts

_SMALL: Final = 16
_AS_IT_IS: Final = {np.dtype("<f8"): "FP64", np.dtype("<i8"): "INT64", np.dtype(np.bool_): "BOOL"}


def json_tensor(name: str, values: NDArray[Any]) -> dict[str, Any]:
    """Return an array as a JSON tensor; its `data` may be an array, for an encoder that knows numpy.

    Numbers are FP64 or INT64 (UINT64 where they are), truth values BOOL, strings BYTES; so are values of any other
    kind, and mixtures, as they are.
    """
    datatype, array = _plain(values)
    flat = array if array.ndim == 1 else array.reshape(-1)
    is_small = flat.size <= _SMALL  # a list is quicker than an array that an encoder has to take apart
    data: Any = flat.tolist() if is_small or flat.dtype.kind == "O" else np.ascontiguousarray(flat)
    return {"name": name, "datatype": datatype, "shape": list(values.shape), "data": data}


def raw_tensor(name: str, values: NDArray[Any]) -> tuple[dict[str, Any], bytes]:
    """Return an array as a tensor without its data, and the data as bytes.

    Raises:
        SignatureMismatchError: Values are neither numbers, truth values nor strings, all of one kind.
    """
    datatype, array = _plain(values)
    if datatype == "BYTES":
        flat = array.reshape(-1).tolist()
        for row, value in enumerate(flat):
            if type(value) is not str:
                raise SignatureMismatchError(
                    "is no string, and cannot be sent as raw bytes", kind=Mismatch.WRONG_TYPE, column=name, row=row
                )
        raw = raw_from_texts(flat)
    else:
        raw = array.tobytes()
    head = {
        "name": name,
        "datatype": datatype,
        "shape": list(values.shape),
        "parameters": {"binary_data_size": len(raw)},
    }
    return head, raw


def _plain(values: NDArray[Any]) -> tuple[str, NDArray[Any]]:
    """Return the datatype of an array and the array in that datatype, an object array where it is BYTES."""
    datatype = _AS_IT_IS.get(values.dtype)
    if datatype is not None:
        return datatype, values
    kind = values.dtype.kind
    if kind == "O":
        kinds = set(map(type, values.reshape(-1).tolist()))
        if kinds <= {int}:
            kind = "i"
        elif kinds <= {int, float}:
            kind = "f"
        elif kinds == {bool}:
            kind = "b"
    if kind == "f":
        return "FP64", values.astype("<f8", copy=False)
    if kind == "b":
        return "BOOL", values.astype(np.bool_, copy=False)
    if kind == "u" and values.dtype.itemsize == 8:
        return "UINT64", values.astype("<u8", copy=False)
    if kind in "iu":
        with contextlib.suppress(OverflowError):  # Python integers know no bounds
            return "INT64", values.astype("<i8", copy=False)
    return "BYTES", values.astype(object, copy=False)
