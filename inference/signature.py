"""What a served model version accepts and answers: its columns, its task, its classes."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from enum import StrEnum
from functools import cached_property
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, model_validator


class ColumnType(StrEnum):
    """MLflow's names for scalar column types, and the numpy dtype a decoded column has."""

    DOUBLE = "double"  # float64; a missing value is NaN
    LONG = "long"  # int64; has no missing value
    BOOLEAN = "boolean"  # bool_; has no missing value
    STRING = "string"  # object array of str; a missing value is None
    ANY = "any"  # object array of JSON scalars as sent; for a model that does not say what it takes


_PYTHON_TYPES: Final[Mapping[ColumnType, tuple[type, ...]]] = {
    ColumnType.DOUBLE: (float, int),
    ColumnType.LONG: (int,),
    ColumnType.BOOLEAN: (bool,),
    ColumnType.STRING: (str,),
    ColumnType.ANY: (str, float, int, bool),
}


class Column(BaseModel):
    """One input column.

    `nullable` says that the pipeline has an answer for a missing value; `optional`, that a request may leave the
    whole column out, which then is missing in every row (an optional column is nullable). `categories` is given
    only where the pipeline refuses categories it was not fitted on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    type: ColumnType
    nullable: bool = False
    optional: bool = False
    categories: tuple[str | bool, ...] | None = None

    @cached_property
    def accepted_types(self) -> frozenset[builtins.type]:
        """The Python types a decoded value may have; None's among them where a missing value has an answer."""
        has_missing = self.nullable and self.type not in {ColumnType.LONG, ColumnType.BOOLEAN}
        missing = {type(None)} if has_missing else set()
        return frozenset({*_PYTHON_TYPES[self.type], *missing})

    @cached_property
    def known_values(self) -> frozenset[str | bool | None] | None:
        """The values the pipeline was fitted on, where it refuses others; a missing value is no unknown one."""
        if self.categories is None:
            return None
        return frozenset({*self.categories, None} if self.nullable else self.categories)


class Task(StrEnum):
    """What kind of answer the model gives."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"
    OPAQUE = "opaque"  # values of any kind, whatever the model's `predict` gives; nothing else is known of them


class Signature(BaseModel):
    """Input columns in the model's order, and the shape of its answer.

    `classes` are the labels in scikit-learn's order (`classes_`), empty where the task is no classification.
    `outputs` are the names of the values of one row where there are several, empty where there is one; only
    regressors and opaque models have several. `matrix` says that the model takes one matrix whose columns these
    are, in this order, and knows no names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: tuple[Column, ...]
    task: Task
    classes: tuple[int | float | bool | str, ...] = ()
    outputs: tuple[str, ...] = ()
    matrix: bool = False

    @cached_property
    def names(self) -> AbstractSet[str]:
        """The column names, as a set to compare a row's keys with."""
        return frozenset(column.name for column in self.columns)

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names):
            raise ValueError("two columns have the same name")
        if (self.task in {Task.BINARY, Task.MULTICLASS}) != bool(self.classes):
            raise ValueError("classes are for classifiers, and every classifier has them")
        if self.outputs and (self.classes or len(self.outputs) < 2):
            raise ValueError("outputs are named where a row has several values, which no classifier has")
        if self.task is Task.BINARY and len(self.classes) != 2:
            raise ValueError("a binary classifier has two classes")
        return self
