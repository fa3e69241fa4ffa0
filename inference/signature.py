"""What a served model version accepts and answers: its columns, its task, its classes."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from enum import StrEnum
from functools import cached_property
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator


class ColumnType(StrEnum):
    """MLflow's names for scalar column types, and the numpy dtype a decoded column has."""

    DOUBLE = "double"  # float64; a missing value is NaN
    LONG = "long"  # int64; has no missing value
    BOOLEAN = "boolean"  # bool_; has no missing value
    STRING = "string"  # object array of str; a missing value is None


class Column(BaseModel):
    """One input column.

    `nullable` says that the pipeline has an answer for a missing value. `categories` is given only where the
    pipeline refuses categories it was not fitted on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    type: ColumnType
    nullable: bool = False
    categories: tuple[str | bool, ...] | None = None


class Task(StrEnum):
    """What kind of answer the model gives."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"


class Signature(BaseModel):
    """Input columns in the model's order, and the shape of its answer.

    `classes` are the labels in scikit-learn's order (`classes_`), empty for a regressor.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: tuple[Column, ...]
    task: Task
    classes: tuple[int | float | bool | str, ...] = ()

    @cached_property
    def names(self) -> AbstractSet[str]:
        """The column names, as a set to compare a row's keys with."""
        return frozenset(column.name for column in self.columns)

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names):
            raise ValueError("two columns have the same name")
        if (self.task is Task.REGRESSION) != (not self.classes):
            raise ValueError("classes are for classifiers, and every classifier has them")
        if self.task is Task.BINARY and len(self.classes) != 2:
            raise ValueError("a binary classifier has two classes")
        return self
