"""What a worker runs: a model version reduced to columns in, scores out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from inference.arrays import Texts, array_of

Columns = Mapping[str, NDArray[Any]]
"""One 1-D array per signature column, all of one length; dtypes as in `inference.signature.ColumnType`."""

EncodedColumns = Mapping[str, NDArray[Any] | Texts]
"""Columns of which those of strings may be by reference, where many rows repeat few strings."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What a runtime computes for N rows.

    `values` is [N] float64 for a regressor, [N, M] where the signature names M outputs, and of any dtype for an
    opaque model; `probabilities` is [N, K] float64 in the order of the signature's classes for a classifier.
    Exactly one of the two is there.
    """

    values: NDArray[Any] | None = None
    probabilities: NDArray[np.float64] | None = None


class Runtime(Protocol):
    """A loaded model version. Stateless between calls, safe to call from one thread at a time."""

    def run(self, columns: Columns, rows: int) -> Scores:
        """Return the scores of `rows` rows."""
        ...


class TextsRuntime(Runtime, Protocol):
    """A runtime that takes strings by reference: it looks each distinct one up once."""

    takes_texts: bool

    def run(self, columns: EncodedColumns, rows: int) -> Scores:
        """Return the scores of `rows` rows."""
        ...


@runtime_checkable
class RemoteRuntime(Runtime, Protocol):
    """A runtime in a process of its own, which can be given up and which takes the model's own parameters."""

    def run_within(
        self, columns: Columns, rows: int, *, params: Mapping[str, Any] | None, seconds: float | None
    ) -> Scores:
        """Return the scores; a call that takes longer than `seconds` is ended, and the process with it."""
        ...

    def close(self) -> None:
        """End the process."""
        ...


def run_encoded(runtime: Runtime, columns: EncodedColumns, rows: int) -> Scores:
    """Return the scores of `rows` rows; strings by reference reach the runtimes that take them as such."""
    if getattr(runtime, "takes_texts", False):
        return cast("TextsRuntime", runtime).run(columns, rows)
    return runtime.run(plain_columns(columns), rows)


def plain_columns(columns: EncodedColumns) -> Columns:
    """Return columns with every string of every row in an array."""
    return {name: array_of(columns[name]) for name in columns}
