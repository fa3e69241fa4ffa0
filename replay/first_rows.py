"""One row for each unit: its first one; rows without a unit are each for themselves. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import numpy as np
from numpy.typing import NDArray

_BYTES: Final = 16


def digests(units: Sequence[str | None]) -> NDArray[np.uint64]:
    """Return what stands for units, [N, 2]: a digest of each, of nobody zeros.

    >>> bool((digests(["a", None])[1] == 0).all())
    True
    """
    nobody = bytes(_BYTES)
    joined = b"".join(
        nobody if unit is None else blake2b(unit.encode(), digest_size=_BYTES).digest() for unit in units
    )
    return np.frombuffer(joined, dtype=np.uint64).reshape(-1, 2)


def first_of_each(
    units: NDArray[np.uint64], served_at: NDArray[np.int64], usable: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which rows [N] count: of each unit the usable one served first, and each usable one of nobody.

    Of rows served at the same time the one that comes first is taken.

    >>> first_of_each(digests(["a", "a", None]), np.array([2, 1, 3]), np.ones(3, dtype=bool)).tolist()
    [False, True, True]
    """
    has_unit = units.any(axis=1)
    rows = np.flatnonzero(usable & has_unit)
    order = rows[np.lexsort((served_at[rows], units[rows, 1], units[rows, 0]))]
    ordered = units[order]
    is_new = np.ones(len(order), dtype=np.bool_)
    is_new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    counts = usable & ~has_unit
    counts[order[is_new]] = True
    return np.asarray(counts)
