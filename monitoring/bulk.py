"""The bulk form of a record's values: raw bytes instead of digits.

Arrays of numbers and truth values are written as the base64 of their little-endian bytes,
`{"dtype": "<f8", "base64": "…"}` (with `shape` where there is more than one dimension), and positions without gaps
as `{"range": [first, end]}`.
"""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import orjson

_DTYPES: Final = frozenset(
    {"|b1", "|i1", "|u1", "<i2", "<i4", "<i8", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8"},
)


def bulk_values(values: Any) -> Any:
    """Return an array of numbers or truth values as JSON in the bulk form, anything else as it is."""
    if not isinstance(values, np.ndarray):
        return values
    dtype = values.dtype.newbyteorder("<")
    if dtype.str not in _DTYPES:
        return values
    array = np.ascontiguousarray(values, dtype=dtype)
    shape = b"" if array.ndim == 1 else b',"shape":' + orjson.dumps(array.shape)
    text = binascii.b2a_base64(array.data, newline=False)
    return orjson.Fragment(b'{"dtype":"%b"%b,"base64":"%b"}' % (array.dtype.str.encode(), shape, text))


def bulk_positions(positions: Sequence[int]) -> Any:
    """Return positions, at least one, in the bulk form."""
    if isinstance(positions, range) and positions.step == 1:
        whole = positions
    else:
        whole = range(positions[0], positions[0] + len(positions))
        if whole[-1] != positions[-1] or list(whole) != list(positions):
            return bulk_values(np.array(positions, dtype=np.int64))
    return {"range": [whole.start, whole.stop]}


def plain_values(value: Any) -> Any:
    """Return a value of a decoded line as a list of JSON values, whichever form it has; NaN is None.

    Raises:
        ValueError, LookupError, TypeError: It is in neither form.
    """
    if type(value) is not dict:
        return value
    raw = binascii.a2b_base64(value["base64"], strict_mode=True)
    if value["dtype"] not in _DTYPES:
        raise ValueError("no array of numbers or truth values")
    array = np.frombuffer(raw, dtype=value["dtype"])
    if "shape" in value:
        array = array.reshape(value["shape"])
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        plain = array.astype(object)
        plain[~np.isfinite(array)] = None
        return plain.tolist()
    return array.tolist()


def plain_positions(value: Any, rows: int) -> list[int]:
    """Return the positions of `rows` rows of a decoded line, whichever form they have.

    Raises:
        ValueError, LookupError, TypeError: They are in neither form.
    """
    if type(value) is not dict:
        return list(value)
    if "range" in value:
        whole = range(*value["range"])
        if len(whole) != rows:
            raise ValueError("as many positions as predictions")
        return list(whole)
    return list(plain_values(value))
