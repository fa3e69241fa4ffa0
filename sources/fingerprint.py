"""Which data was it: a digest of a table that any changed value, type, name or order changes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The digest of a table, and its size."""

    digest: str
    rows: int
    columns: int

    def __str__(self) -> str:
        return self.digest


def fingerprint(frame: pd.DataFrame) -> Fingerprint:
    """Return the table's fingerprint, `sha256:<64 hex digits>`.

    It covers column names, types, values and the order of rows and columns, not the row labels. Missing values
    of one column are all alike. The same content read from CSV and from Parquet agrees as long as the column
    types do.
    """
    digest = hashlib.sha256()
    for name in frame.columns:
        column = frame[name]
        hashes = pd.util.hash_pandas_object(column, index=False).to_numpy()
        # Lengths stand before what they measure, so that no two different tables give the same bytes.
        for part in (str(name).encode(), str(column.dtype).encode(), hashes.astype("<u8").tobytes()):
            digest.update(len(part).to_bytes(8, "little") + part)
    return Fingerprint(f"sha256:{digest.hexdigest()}", len(frame), len(frame.columns))
