"""Files into plain tables: one set of rules for missing values and column types, whatever the source was."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection
from enum import StrEnum
from pathlib import Path
from typing import Literal

import pandas as pd

from sources.errors import SourceFormatError, SourceNotFoundError

# What other programs write for "no value". "None" and "none" are not here: data sets use them as categories.
MISSING_MARKS = ("", "NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null", "<NA>")
_SEPARATORS = (",", ";", "\t", "|")


class TableFormat(StrEnum):
    """File formats that can be read."""

    CSV = "csv"
    PARQUET = "parquet"


_SUFFIXES = {
    ".csv": TableFormat.CSV,
    ".tsv": TableFormat.CSV,
    ".pq": TableFormat.PARQUET,
    ".parquet": TableFormat.PARQUET,
}


def read_table(path: Path, format_: TableFormat | None = None, *, texts: Collection[str] = ()) -> pd.DataFrame:
    """Return the file as a plain table (see `plain`).

    The format follows from the suffix unless given. CSV is UTF-8 with a header line; the separator is whichever
    of comma, semicolon, tab and bar the header holds most. Only the marks in `MISSING_MARKS` mean "missing".
    Columns named in `texts` are read as they are written: "007" stays "007".

    Raises:
        SourceNotFoundError: there is no such file.
        SourceFormatError: the suffix is unknown, or the content is not such a table.
    """
    if not path.is_file():
        raise SourceNotFoundError(f"the data file {path}", "check the path")
    chosen = format_ or _SUFFIXES.get(path.suffix.lower())
    if chosen is None:
        known = ", ".join(sorted(_SUFFIXES))
        raise SourceFormatError(str(path), f"the suffix '{path.suffix}' says no format; use one of {known}")
    frame = _read_csv(path, texts) if chosen is TableFormat.CSV else _read_parquet(path)
    if frame.empty:
        raise SourceFormatError(str(path), "it has no rows")
    return plain(frame)


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with simple column types only.

    Categoricals become strings; numbers with missing values become float64; a column of True, False and missing,
    and any column of mixed values, becomes strings with missing. Dates stay dates. Row labels are dropped.
    """
    columns = {str(name): _plain_column(frame[name]) for name in frame.columns}
    return pd.DataFrame(columns).reset_index(drop=True)


def _plain_column(column: pd.Series) -> pd.Series:
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return column
    return column.astype(_plain_type(column))


def _plain_type(column: pd.Series) -> Literal["str", "bool", "int64", "float64"]:
    types, missing = pd.api.types, bool(column.isna().any())
    kind = types.infer_dtype(column, skipna=True)
    if kind == "categorical":
        return "str"
    if types.is_bool_dtype(column.dtype) or kind == "boolean":
        return "str" if missing else "bool"
    if types.is_integer_dtype(column.dtype):
        return "float64" if missing else "int64"
    if types.is_float_dtype(column.dtype) or kind == "decimal":
        return "float64"
    return "str"


def _read_csv(path: Path, texts: Collection[str]) -> pd.DataFrame:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
        separator = max(_SEPARATORS, key=header.count)
        names = next(csv.reader([header], delimiter=separator), [])
        repeated = [name for name, count in Counter(names).items() if count > 1]
        if repeated:
            raise SourceFormatError(str(path), f"the header names the column '{repeated[0]}' twice")
        frame = pd.read_csv(
            path,
            sep=separator,
            encoding="utf-8-sig",
            keep_default_na=False,
            na_values=list(MISSING_MARKS),
            low_memory=False,
            dtype={name: str for name in names if name in texts},
        )
        # pandas takes the fields that a header has no name for to be row labels.
        if not isinstance(frame.index, pd.RangeIndex):
            raise SourceFormatError(str(path), "its lines have more fields than its header")
        return frame
    except UnicodeDecodeError as error:
        raise SourceFormatError(str(path), "it is not UTF-8 text; save it as UTF-8") from error
    except pd.errors.EmptyDataError as error:
        raise SourceFormatError(str(path), "it is empty") from error
    except pd.errors.ParserError as error:
        raise SourceFormatError(str(path), "its lines have different numbers of fields") from error


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise SourceFormatError(str(path), "it is not a Parquet file") from error
