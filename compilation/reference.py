"""What the registered model answers, and how far a runtime is from it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from compilation.adversarial import adversarial_rows, raw_thresholds
from compilation.anatomy import final_estimator
from compilation.compile_trees import thresholds
from inference.decision import Decision
from inference.errors import CompileError
from inference.frames import columns_from_frame
from inference.preprocessing import Block, NumberBlock
from inference.runtime import Columns, Runtime, Scores
from inference.served_model import ServedModel
from inference.signature import Signature

_CHUNK = 4000
_ALONE = 64


@dataclass(slots=True)
class Difference:
    """How far a runtime is from the registered model on the rows compared."""

    rows: int = 0
    largest: float = 0.0
    decisions: int = 0

    def within(self, tolerance: float) -> bool:
        """Return whether no decision changed and no answer moved by more than `tolerance`; NaN is beyond it."""
        return not self.decisions and self.largest <= tolerance


@dataclass(frozen=True, slots=True)
class _Part:
    """Some rows, and what the registered model answers for them."""

    columns: Columns
    rows: int
    expected: NDArray[np.float64]
    decided: NDArray[Any] | None

    def slice(self, start: int, stop: int) -> _Part:
        columns = {name: values[start:stop] for name, values in self.columns.items()}
        decided = None if self.decided is None else self.decided[start:stop]
        return _Part(columns, stop - start, self.expected[start:stop], decided)


class Reference:
    """The registered model's answers for evaluation rows and for rows made to find a difference.

    The model is asked once, whatever the number of runtimes that are compared with it.

    Args:
        model: The registered model, fitted.
        frame: Evaluation rows; other columns than the signature's are left aside.
        signature: What the runtimes take and answer.
        decision: The rule on top of the scores.
        blocks: What the runtimes make of the columns, for the raw values of the trees' thresholds; may be empty.

    Raises:
        SignatureMismatchError: The frame does not fit the signature.
    """

    def __init__(
        self, model: Any, frame: pd.DataFrame, signature: Signature, decision: Decision, blocks: tuple[Block, ...]
    ) -> None:
        self.features = frame[[column.name for column in signature.columns]]
        self.signature, self.decision, self._model = signature, decision, model
        hard = adversarial_rows(self.features, signature, _raw_thresholds(model, blocks))
        self._parts = [_with_answers(self._part(rows)) for rows in _answered(model, hard)]
        self.adversarial_rows = sum(part.rows for part in self._parts)
        starts = range(0, len(self.features), _CHUNK)
        self._parts += [self._part(self.features.iloc[start : start + _CHUNK]) for start in starts]
        self.rows = len(self.features)

    def compare(self, runtime: Runtime, *, seconds: float | None = None) -> Difference:
        """Return how far `runtime` is from the model: the difficult rows first, some alone, then the others.

        The difference of a classifier is the largest of its probabilities, of a regressor the largest of its
        values, relative where a value is above 1.

        Args:
            runtime: What would serve.
            seconds: Leave out further rows once it took so long; the result says how many were compared.
        """
        served = ServedModel(self.signature, self.decision, runtime)
        difference = Difference()
        stop = None if seconds is None else time.perf_counter() + seconds
        for part in self._alone():
            _compare(served, part, difference)
        difference.rows = 0  # they come again among the others
        for place, part in enumerate(self._parts):
            _compare(served, part, difference)
            if stop is not None and place > 0 and time.perf_counter() > stop:
                break
        return difference

    def batch(self, rows: int) -> Columns:
        """Return `rows` evaluation rows as columns, repeated where there are fewer."""
        return columns_from_frame(self.rows_of(rows), self.signature)[0]

    def rows_of(self, rows: int) -> pd.DataFrame:
        """Return `rows` evaluation rows as the registered model takes them, repeated where there are fewer."""
        return self.features.iloc[np.resize(np.arange(len(self.features)), rows)]

    def _alone(self) -> Iterator[_Part]:
        """Yield difficult rows one by one: for a single row, runtimes go other ways than for many."""
        count = max(1, self.adversarial_rows)
        step = max(1, count // _ALONE)
        for part in self._parts[: 1 if self.adversarial_rows else 0]:
            for row in range(0, part.rows, step):
                yield part.slice(row, row + 1)

    def _part(self, frame: pd.DataFrame) -> _Part:
        columns, rows = columns_from_frame(frame, self.signature)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # unknown categories and overflows are asked for on purpose
            if not self.signature.classes:
                expected = np.asarray(self._model.predict(frame), dtype=np.float64)
                shape = (rows, len(self.signature.outputs)) if self.signature.outputs else (rows,)
                return _Part(columns, rows, expected.reshape(shape), None)
            probabilities = np.asarray(self._model.predict_proba(frame), dtype=np.float64)
            if self.decision.threshold is None:
                decided = np.asarray(self._model.predict(frame))
            else:
                decided = self.decision.apply(Scores(probabilities=probabilities), self.signature)
        return _Part(columns, rows, probabilities, decided)


def _compare(served: ServedModel, part: _Part, difference: Difference) -> None:
    answer = served.predict(part.columns, part.rows)
    got = answer.prediction if answer.probabilities is None else answer.probabilities
    if got.shape != part.expected.shape:
        raise CompileError("its answer", f"it has the shape {got.shape}, the model's has {part.expected.shape}")
    difference.rows += part.rows
    scale: Any = 1.0 if part.decided is not None else np.maximum(1.0, np.abs(part.expected))
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(got - part.expected) / scale
    apart[(got == part.expected) | (np.isnan(got) & np.isnan(part.expected))] = 0.0  # infinities are equal, too
    difference.largest = float(np.maximum(difference.largest, apart.max(initial=0.0)))  # NaN wins, and refuses
    if part.decided is not None:
        difference.decisions += int(np.count_nonzero(answer.prediction != part.decided))


def _with_answers(part: _Part) -> _Part:
    """Return the part without the rows for which the model's answer is no number: it has none to compare with."""
    kept = ~np.isnan(part.expected.reshape(part.rows, -1)).any(axis=1)
    columns = {name: values[kept] for name, values in part.columns.items()}
    decided = None if part.decided is None else part.decided[kept]
    return _Part(columns, int(kept.sum()), part.expected[kept], decided)


def _answered(model: Any, rows: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the rows without those that the registered model itself refuses: it has no answer to compare with."""
    if rows.empty:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model.predict(rows)
        # Whatever a library raises on a value: the rows are halved until the one at fault stands alone.
        except Exception:
            middle = len(rows) // 2
            halves = (rows.iloc[:middle], rows.iloc[middle:]) if middle else ()
            kept = [part for half in halves for part in _answered(model, half)]
            return [pd.concat(kept, ignore_index=True)] if kept else []
    return [rows]


def _raw_thresholds(model: Any, blocks: tuple[Block, ...]) -> dict[str, list[float]]:
    by_feature = thresholds(final_estimator(model))
    return {
        block.column: raw_thresholds(block, by_feature[block.start])
        for block in blocks
        if isinstance(block, NumberBlock) and block.start in by_feature
    }
