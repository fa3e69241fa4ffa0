"""A file that was uploaded, before it is a data set."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow.parquet as pq

from assessment.errors import DataSetFormatError, DataSetNameError, DataSetTooLargeError
from sources.errors import SourceFormatError
from sources.tables import TableFormat, read_table

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LONGEST_FILENAME: Final = 200
_SUFFIXES: Final = frozenset({".parquet", ".pq"})
_MAGIC: Final = b"PAR1"
_FEWEST_COLUMNS: Final = 2
"""Files of many kinds can be read as a table of one column."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A CSV or Parquet file as it came; `name` is what it is to be called, None leaves that to its file."""

    content: bytes
    filename: str
    name: str | None = None

    @property
    def printable_filename(self) -> str:
        """The file's own name, without folders and control characters."""
        last = self.filename.replace("\\", "/").rsplit("/", 1)[-1]
        return "".join(character for character in last if character.isprintable())[:_LONGEST_FILENAME]

    def called(self, otherwise: str) -> str:
        """Return what the data set is to be called: as asked, after its file, or `otherwise`.

        Raises:
            DataSetNameError: It cannot be called what was asked.
        """
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(self.filename.replace("\\", "/")).stem).strip("-._")[:100]
        name = self.name if self.name is not None else stem or otherwise
        if not _NAME.fullmatch(name):
            raise DataSetNameError
        return name

    def read(self, incoming: Path, most_rows: int) -> pd.DataFrame:
        """Return its rows; the file is at `incoming` while it is read.

        Raises:
            DataSetFormatError: It is no table.
            DataSetTooLargeError: It has more than `most_rows` rows.
        """
        is_parquet = self.content.startswith(_MAGIC) or Path(self.filename).suffix.lower() in _SUFFIXES
        try:
            incoming.write_bytes(self.content)
            if is_parquet:  # what a small file unpacks to may be large
                _check_rows(_parquet_rows(incoming), most_rows)
            frame = read_table(incoming, TableFormat.PARQUET if is_parquet else TableFormat.CSV)
        except SourceFormatError as error:
            raise DataSetFormatError(error.reason) from None
        finally:
            incoming.unlink(missing_ok=True)
        _check_rows(len(frame), most_rows)
        if frame.shape[1] < _FEWEST_COLUMNS:
            raise DataSetFormatError(
                "it has one column; a test needs an attribute and a label or prediction at least"
            )
        return frame


def _check_rows(rows: int, most: int) -> None:
    if rows > most:
        raise DataSetTooLargeError(rows, most)


def _parquet_rows(path: Path) -> int:
    try:
        return int(pq.read_metadata(path).num_rows)
    except (OSError, ValueError) as error:  # pyarrow's errors are of these kinds
        raise DataSetFormatError("it is not a Parquet file") from error
