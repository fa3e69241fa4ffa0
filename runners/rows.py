"""Rows to prove a foreign model on: from a table, or from the input example that was saved with it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from inference.signature import ColumnType, Signature
from runners.errors import MlModelError
from runners.mlmodel import MlModel

if TYPE_CHECKING:
    import pandas as pd

PROFILE_FILE: Final = "profile.json"


@dataclass(frozen=True, slots=True)
class Rows:
    """Values by column: lists of JSON scalars, None where one is missing; `origin` says where they are from."""

    columns: Mapping[str, Sequence[Any]]
    count: int
    origin: str

    def frame(self, signature: Signature) -> pd.DataFrame:
        """Return the rows as a data frame typed as the signature says."""
        import pandas as pd

        kinds: dict[ColumnType, Any] = {
            ColumnType.DOUBLE: "float64",
            ColumnType.LONG: "int64",
            ColumnType.BOOLEAN: "bool",
            ColumnType.STRING: "str",
        }
        typed = {
            column.name: pd.Series(list(self.columns[column.name]), dtype=kinds.get(column.type))
            for column in signature.columns
        }
        return pd.DataFrame(typed)


def rows_of_table(table: pd.DataFrame, signature: Signature, origin: str) -> Rows:
    """Return the signature's columns of a table; of one with as many columns as a matrix has, in their order.

    Raises:
        SignatureMismatchError: A column is missing.
    """
    from inference.errors import Mismatch, SignatureMismatchError

    names = [column.name for column in signature.columns]
    if signature.matrix and not set(names) <= set(table.columns) and len(table.columns) == len(names):
        table = table.set_axis(names, axis=1)
    columns: dict[str, list[Any]] = {}
    for column in signature.columns:
        if column.name in table.columns:
            series = table[column.name]
            values = series.astype(object).where(series.notna(), None).tolist()
            columns[column.name] = [str(value) if hasattr(value, "isoformat") else value for value in values]
        elif column.optional:
            columns[column.name] = [None] * len(table)
        else:
            raise SignatureMismatchError("is missing", kind=Mismatch.MISSING_COLUMN, column=column.name)
    return Rows(columns, len(table), origin)


def rows_of_example(model: MlModel, signature: Signature) -> Rows | None:
    """Return the rows of the input example that was saved with the model; None where there is none of a known form.

    Raises:
        MlModelError: It cannot be read.
    """
    if model.example is None or model.example_type not in {"dataframe", "ndarray"}:
        return None
    try:
        text = json.loads(model.example.read_text(encoding="utf-8"))
        names = [column.name for column in signature.columns]
        if model.example_type == "ndarray":
            listed = text["inputs"] if isinstance(text, dict) else text
            given = [row if isinstance(row, list) else [row] for row in listed]
        else:
            places = {str(name): place for place, name in enumerate(text.get("columns", names))}
            given = [[row[places[name]] if name in places else None for name in names] for row in text["data"]]
        columns = {name: [row[place] for row in given] for place, name in enumerate(names)}
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise MlModelError(model.folder, "its input example cannot be read") from error
    return Rows(columns, len(given), "its input example") if given else None


def write_profile(rows: Rows, folder: Path) -> None:
    """Write the profile of the rows into `folder`, the version's `fairmind` folder."""
    (folder / PROFILE_FILE).write_text(json.dumps(profile(rows), indent=1), encoding="utf-8")


def profile(rows: Rows) -> dict[str, Any]:
    """Return the range of each number column and the share of missing values; no value of a text column."""
    columns: dict[str, Any] = {}
    for name, values in rows.columns.items():
        present = [value for value in values if value is not None and not _is_nan(value)]
        entry: dict[str, Any] = {"missing": 1 - len(present) / rows.count}
        if present and all(type(value) in {int, float} for value in present):
            entry |= {"minimum": min(present), "maximum": max(present)}
        else:
            entry["distinct"] = len({repr(value) for value in present})
        columns[name] = entry
    return {"rows": rows.count, "origin": rows.origin, "columns": columns}


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
