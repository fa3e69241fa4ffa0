"""The rows that `fairmind bias-test` names: a file, what a query returns, or an uploaded data set."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cli.failures import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from cli.context import Context


class NamedTable:
    """The rows that a command names, wherever they are."""

    def __init__(
        self, context: Context, data: Path | None, sql: tuple[str, str] | None, dataset: str | None
    ) -> None:
        from assessment.data_sets import DataSets
        from sources.file import FileSource

        self._data_sets = DataSets(context.control, context.home.datasets, context.settings.assessment.dataset_rows)
        self._found = None if dataset is None else self._data_sets.find(dataset)
        self._frame = None
        if data is not None:
            self._frame = FileSource(path=data).read(context.home.data)
        elif sql is not None:
            self._frame = sql_table(context, sql)
        self.id = None if self._found is None else self._found.id

    @property
    def columns(self) -> list[str]:
        """The names of its columns."""
        if self._frame is not None:
            return [str(name) for name in self._frame.columns]
        return [] if self._found is None else list(self._found.columns)

    def read(self, columns: list[str]) -> pd.DataFrame:
        """Return all rows of some columns, of all columns where they are not known to be there."""
        if self._frame is not None:
            return self._frame
        assert self._found is not None  # noqa: S101  (there is no third kind)
        return self._data_sets.read(self._found, columns)

    def batches(self, features: list[str]) -> Iterator[pd.DataFrame]:
        """Yield the rows in parts."""
        if self._frame is not None:
            yield self._frame
        elif self._found is not None:
            yield from self._data_sets.batches(self._found, features)


def sql_table(context: Context, sql: tuple[str, str]) -> pd.DataFrame:
    """Return what a query gives; the address may be the name of a variable that holds it."""
    from pydantic import ValidationError

    from sources.sql import SqlSource

    address, query = sql
    is_variable = re.fullmatch(r"[A-Z_][A-Z0-9_]*", address) is not None
    described = {"url_env" if is_variable else "url": address, "query": query}
    try:
        return SqlSource(**described).read(context.home.data)
    except ValidationError as error:
        raise UsageError(f"--sql: {error.errors(include_url=False, include_input=False)[0]['msg']}") from None
