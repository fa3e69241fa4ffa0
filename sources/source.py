"""A data source: one value that says where a table comes from, told apart by `kind`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sources.file import FileSource
from sources.openml import OpenmlSource
from sources.sql import SqlSource
from sources.wheel import WheelSource

Source = Annotated[FileSource | WheelSource | SqlSource | OpenmlSource, Field(discriminator="kind")]
"""Every kind answers `.read(data_folder) -> pandas.DataFrame` and `.describe() -> str`."""
