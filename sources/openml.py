"""A data set of openml.org."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sources.errors import SourceUnavailableError
from sources.tables import plain


class OpenmlSource(BaseModel):
    """An OpenML data set, by `id`, or by `name` and `version`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["openml"] = "openml"
    id_: int | None = Field(default=None, alias="id")
    name: str | None = None
    version: int | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.id_ is None) == (self.name is None):
            raise ValueError("give either id, or name and version")
        # Without a version OpenML returns the newest: the same configuration would train on other data later.
        if (self.name is None) != (self.version is None):
            raise ValueError("name and version belong together")
        return self

    def read(self, data_folder: Path) -> pd.DataFrame:
        """Return the table with its target column; fetched once into `data_folder`.

        Raises:
            SourceUnavailableError: openml.org cannot be reached or has no such data set.
        """
        from sklearn.datasets import fetch_openml

        which = {"data_id": self.id_} if self.id_ is not None else {"name": self.name, "version": self.version}
        try:
            bunch = fetch_openml(**which, data_home=str(data_folder / "openml"), as_frame=True, parser="auto")
        except (OSError, ValueError) as error:
            raise SourceUnavailableError(self.describe(), type(error).__name__) from error
        return plain(bunch.frame)

    def describe(self) -> str:
        """Return a short name for people and for the run's tags."""
        return f"openml {self.id_}" if self.id_ is not None else f"openml {self.name} version {self.version}"
