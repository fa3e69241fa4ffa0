"""The rows that `fairmind bias-test` names: a file, what a query returns, or an uploaded data set."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
        from sources.sql import SqlSource

        self._data_sets = DataSets(context.control, context.home.datasets, context.settings.assessment.dataset_rows)
        self._found = None if dataset is None else self._data_sets.find(dataset)
        self._frame = None
        if data is not None:
            self._frame = FileSource(path=data).read(context.home.data)
        elif sql is not None:
            address, query = sql
            is_variable = re.fullmatch(r"[A-Z_][A-Z0-9_]*", address) is not None
            source = _sql_source(SqlSource, **{"url_env" if is_variable else "url": address, "query": query})
            self._frame = source.read(context.home.data)
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


def _sql_source(kind: Any, **described: str) -> Any:
    from pydantic import ValidationError

    try:
        return kind(**described)
    except ValidationError as error:
        raise UsageError(f"--sql: {error.errors(include_url=False, include_input=False)[0]['msg']}") from None
