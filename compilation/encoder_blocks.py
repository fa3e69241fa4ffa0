"""The table of an encoder: what its fitted pipeline answers for every category."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import preprocessing
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from compilation.text_dtype import TEXT
from inference.errors import CompileError
from inference.preprocessing import Block, Category, CategoryBlock
from inference.signature import ColumnType

# Absent before scikit-learn 1.3, and this runs in strangers' environments too.
_TARGET: Any = getattr(preprocessing, "TargetEncoder", None)
ENCODERS = tuple(kind for kind in (OneHotEncoder, OrdinalEncoder, _TARGET) if kind is not None)


@dataclass(frozen=True, slots=True)
class Reduced:
    """A block, and what its column may hold: missing values, and which categories where new ones are refused."""

    block: Block
    nullable: bool
    imputed: bool
    categories: tuple[Category, ...] | None = None


def reduce_categories(
    chain: list[Any], at: int, columns: list[str], types: dict[str, ColumnType], start: int
) -> tuple[list[Reduced], int]:
    """Return a block per column of the encoder `chain[at]`, and the place after their last feature.

    What comes before it may only fill gaps; the caller has seen to it that what follows treats each feature alone.

    Raises:
        CompileError: The encoder, or what comes before it, has no table.
    """
    encoder, before = chain[at], chain[:at]
    for step in before:
        if not isinstance(step, SimpleImputer):
            raise CompileError(type(step).__name__, f"it has no compiled form before {type(encoder).__name__}")
        check_imputer(step)
    domains = [_Domain.of(encoder, before, index, column, types[column]) for index, column in enumerate(columns)]
    widths = [_width(encoder, index) for index in range(len(columns))]
    reduced: list[Reduced] = []
    offset = 0
    for index, (domain, width) in enumerate(zip(domains, widths, strict=True)):
        made = _transform(chain, _probe(domains, index))
        if made.shape[1] != sum(widths):
            raise CompileError(type(encoder).__name__, "its features could not be told apart by column")
        table = np.full((len(domain.categories) + 2, width), np.nan)
        table[domain.probed_rows] = made[:, offset : offset + width]
        block = CategoryBlock(domain.column, start + offset, domain.categories, table)
        closed = None if domain.open_ended else domain.categories
        reduced.append(Reduced(block, nullable=domain.missing_accepted, imputed=False, categories=closed))
        offset += width
    return reduced, start + offset


def _width(encoder: Any, index: int) -> int:
    if isinstance(encoder, OrdinalEncoder):
        return 1
    if type(encoder) is _TARGET:
        return len(encoder.classes_) if encoder.target_type_ == "multiclass" else 1
    width = len(encoder.categories_[index])
    infrequent = getattr(encoder, "infrequent_categories_", None)
    if infrequent is not None and infrequent[index] is not None:
        width -= len(infrequent[index]) - 1
    if encoder.drop_idx_ is not None and encoder.drop_idx_[index] is not None:
        width -= 1
    return width


@dataclass(frozen=True, slots=True)
class _Domain:
    """The values a column of an encoder may hold."""

    column: str
    type: ColumnType
    categories: tuple[Category, ...]
    open_ended: bool
    missing_accepted: bool

    @classmethod
    def of(cls, encoder: Any, before: list[SimpleImputer], index: int, column: str, kind: ColumnType) -> _Domain:
        fitted = encoder.categories_[index].tolist()
        categories = tuple(value for value in fitted if not _is_missing(value))
        if any(value is None for value in fitted):
            raise CompileError(f"column '{column}'", "None is a category of its encoder; fill gaps before it")
        wrong = str if kind is not ColumnType.STRING else bool | int | float
        if any(isinstance(value, wrong) for value in categories):
            raise CompileError(f"column '{column}'", f"its categories are not of its type {kind}")
        open_ended = type(encoder) is _TARGET or encoder.handle_unknown != "error"
        if kind is ColumnType.BOOLEAN and open_ended:
            categories = (False, True)  # the one that was never seen is the unknown one
        if not open_ended and kind in {ColumnType.DOUBLE, ColumnType.LONG}:
            raise CompileError(
                f"column '{column}'",
                "numbers as closed categories; use strings, or let the encoder ignore new ones",
            )
        filled = [step.statistics_[index] for step in before]
        seen = any(map(_is_missing, fitted)) if not filled else filled[0] in categories
        can_be_missing = kind in {ColumnType.STRING, ColumnType.DOUBLE}
        return cls(
            column,
            kind,
            categories,
            open_ended=open_ended,
            missing_accepted=can_be_missing and (seen or open_ended),
        )

    @property
    def unknown_accepted(self) -> bool:
        """Whether there is a value that is in no category, and the pipeline has an answer for it."""
        return self.open_ended and self.type is not ColumnType.BOOLEAN

    @property
    def probed_rows(self) -> list[int]:
        """The rows of the block's table that the pipeline can be asked for."""
        count = len(self.categories)
        rows = list(range(count))
        return rows + [count] * self.unknown_accepted + [count + 1] * self.missing_accepted

    def values(self) -> list[Any]:
        """Return a value for each probed row."""
        values: list[Any] = list(self.categories)
        if self.unknown_accepted:
            values.append(self._unknown())
        return [*values, np.nan] if self.missing_accepted else values

    def _unknown(self) -> Any:
        if self.type is ColumnType.STRING:
            return "unknown" + "".join(str(category) for category in self.categories)
        return max((int(category) for category in self.categories), default=0) + 1

    def series(self, values: list[Any]) -> pd.Series[Any]:
        """Return the values as the training frame would hold them."""
        kinds: dict[ColumnType, Any] = {
            ColumnType.STRING: TEXT,
            ColumnType.DOUBLE: "float64",
            ColumnType.LONG: "int64",
        }
        series: pd.Series[Any] = pd.Series(values, dtype=kinds.get(self.type, "bool"), name=self.column)
        return series


def _probe(domains: list[_Domain], index: int) -> pd.DataFrame:
    values = domains[index].values()
    columns = {
        domain.column: domain.series(values if domain is domains[index] else [domain.values()[0]] * len(values))
        for domain in domains
    }
    return pd.DataFrame(columns)


def _transform(chain: list[Any], frame: pd.DataFrame) -> NDArray[np.float64]:
    made: Any = frame
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # unknown categories are asked for on purpose
        for step in chain:
            made = step.transform(made)
    dense = made.toarray() if hasattr(made, "toarray") else made
    return np.asarray(dense, dtype=np.float64)


def check_imputer(imputer: SimpleImputer) -> None:
    """Raise CompileError unless the imputer only fills gaps."""
    if imputer.add_indicator:
        raise CompileError("SimpleImputer", "add_indicator=True has no compiled form")
    marker = imputer.missing_values
    if not _is_missing(marker):
        raise CompileError("SimpleImputer", "only NaN and None count as missing values")


def _is_missing(value: object) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))
