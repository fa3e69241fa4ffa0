"""A table in a file of the user's."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from sources.tables import TableFormat, read_table


class FileSource(BaseModel):
    """A CSV or Parquet file; the format follows from the suffix unless given."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["file"] = "file"
    path: Path
    format_: TableFormat | None = Field(default=None, alias="format")

    def read(self, data_folder: Path) -> pd.DataFrame:
        """Return the table; a relative path is relative to the working directory."""
        return read_table(self.path.expanduser(), self.format_)

    def describe(self) -> str:
        """Return a short name for people and for the run's tags."""
        return f"file {self.path}"
