"""The bulk form of a record's values: raw bytes instead of digits.

Arrays of numbers and truth values are written as the base64 of their little-endian bytes,
`{"dtype": "<f8", "base64": "…"}` (with `shape` where there is more than one dimension), strings that repeat as
`{"distinct": ["a", "b"], "codes": {…}}` (each row's place in that list, such an array of unsigned integers), and
positions without gaps as `{"range": [first, end]}`.
"""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from inference.arrays import Texts

_DTYPES: Final = frozenset(
    {"|b1", "|i1", "|u1", "<i2", "<i4", "<i8", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8"},
)


def bulk_values(values: Any) -> Any:
    """Return strings by reference, or an array of numbers or truth values, in the bulk form; all else as it is."""
    if isinstance(values, Texts):
        return {"distinct": values.distinct.tolist(), "codes": bulk_values(_narrow(values))}
    if not isinstance(values, np.ndarray):
        return values
    dtype = values.dtype.newbyteorder("<")
    if dtype.str not in _DTYPES:
        return values
    array = np.ascontiguousarray(values, dtype=dtype)
    shape = b"" if array.ndim == 1 else b',"shape":' + orjson.dumps(array.shape)
    text = binascii.b2a_base64(array.data, newline=False)
    return orjson.Fragment(b'{"dtype":"%b"%b,"base64":"%b"}' % (array.dtype.str.encode(), shape, text))


def bulk_repeated(values: Sequence[str | None] | None) -> Any:
    """Return strings, at least one, in the bulk form where all rows have the same; anything else as it is."""
    if values is None or values[0] != values[-1] or values.count(values[0]) != len(values):
        return values
    return bulk_values(Texts(np.array(values[:1], dtype=object), np.zeros(len(values), dtype=np.intp)))


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
        ValueError, LookupError, TypeError: It is in no form.
    """
    if type(value) is not dict:
        return value
    if "distinct" in value:
        distinct = list(value["distinct"])
        codes = _array(value["codes"])
        if codes.dtype.kind != "u" or codes.ndim != 1:
            raise ValueError("no places in a list")
        return [distinct[code] for code in codes.tolist()]
    array = _array(value)
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


def _array(value: dict[str, Any]) -> NDArray[Any]:
    """Return the array that a value in the bulk form is."""
    raw = binascii.a2b_base64(value["base64"], strict_mode=True)
    if value["dtype"] not in _DTYPES:
        raise ValueError("no array of numbers or truth values")
    array = np.frombuffer(raw, dtype=value["dtype"])
    return array.reshape(value["shape"]) if "shape" in value else array


def _narrow(texts: Texts) -> NDArray[Any]:
    """Return the codes in the smallest dtype that holds them all."""
    return texts.codes.astype(np.min_scalar_type(max(len(texts.distinct) - 1, 0)))
