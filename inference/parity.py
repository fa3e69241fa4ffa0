"""The proof that a compiled model is the registered one. Used when a model is trained, never in a worker."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from inference.adversarial import adversarial_rows, raw_thresholds
from inference.columns import columns_from_frame
from inference.compile import CompiledModel, final_estimator
from inference.compile_estimators import thresholds
from inference.errors import ParityError, RuntimeLoadError
from inference.preprocessing import NumberBlock
from inference.runtime import Scores

PROOF_FILE = "proof.json"
TOLERANCE = 1e-6

_CHUNK = 20_000
_REPEATS = {1: 60, 32: 20, 1024: 5}
_LIBRARIES = ("scikit-learn", "numpy", "pandas", "treelite")


class Proof(BaseModel):
    """What was compared, how far apart the two models were, and what the compiled one costs.

    `microseconds_per_row` maps the size of a batch to the median time of one of its rows, on the machine and in the
    hour of the proof.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    adversarial_rows: int
    largest_difference: float
    decisions_changed: int
    tolerance: float
    microseconds_per_row: dict[int, float]
    versions: dict[str, str]

    def save(self, folder: Path) -> None:
        """Write the proof into `folder`, the version's `fairmind` folder."""
        (folder / PROOF_FILE).write_text(self.model_dump_json(indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the proof in `folder`.

        Raises:
            RuntimeLoadError: It is missing or cannot be read.
        """
        try:
            return cls.model_validate_json((folder / PROOF_FILE).read_bytes())
        except OSError as error:
            raise RuntimeLoadError(str(folder), f"{PROOF_FILE} cannot be read ({error.strerror})") from error
        except ValidationError as error:
            raise RuntimeLoadError(str(folder), f"{PROOF_FILE} is damaged") from error


@dataclass
class _Difference:
    rows: int = 0
    largest: float = 0.0
    decisions: int = 0


def prove(compiled: CompiledModel, model: Any, frame: pd.DataFrame, tolerance: float = TOLERANCE) -> Proof:
    """Return the proof that `compiled` answers as the fitted `model` does.

    Compared are all rows of `frame` and rows made from them to find a difference. The difference of a classifier is
    the largest of its probabilities, of a regressor the largest of its values, relative where a value is above 1.

    Raises:
        ParityError: A decision changed, or the largest difference is above `tolerance`.
        SignatureMismatchError: The frame does not fit the model's signature.
    """
    features = frame[[column.name for column in compiled.signature.columns]]
    hard = adversarial_rows(features, compiled.signature, _thresholds(compiled, model))
    difference = _Difference()
    for start in range(0, len(features), _CHUNK):
        _compare(compiled, model, features.iloc[start : start + _CHUNK], difference)
    _compare(compiled, model, hard, difference)
    if difference.decisions or not difference.largest <= tolerance:
        raise ParityError(
            decisions_changed=difference.decisions,
            largest_difference=difference.largest,
            tolerance=tolerance,
            rows=difference.rows,
        )
    return Proof(
        rows=len(features),
        adversarial_rows=len(hard),
        largest_difference=difference.largest,
        decisions_changed=0,
        tolerance=tolerance,
        microseconds_per_row={rows: _microseconds(compiled, features, rows) for rows in _REPEATS},
        versions={"python": platform.python_version()}
        | {library: importlib.metadata.version(library) for library in _LIBRARIES},
    )


def _compare(compiled: CompiledModel, model: Any, frame: pd.DataFrame, difference: _Difference) -> None:
    columns, rows = columns_from_frame(frame, compiled.signature)
    answer = compiled.served().predict(columns, rows)
    difference.rows += rows
    if answer.probabilities is None:
        expected = np.asarray(model.predict(frame), dtype=np.float64).reshape(rows)
        scale = np.maximum(1.0, np.abs(expected))
        difference.largest = _larger(difference.largest, (answer.prediction - expected) / scale)
        return
    probabilities = np.asarray(model.predict_proba(frame), dtype=np.float64)
    difference.largest = _larger(difference.largest, answer.probabilities - probabilities)
    if compiled.decision.threshold is None:
        decided = np.asarray(model.predict(frame))
    else:
        decided = compiled.decision.apply(Scores(probabilities=probabilities), compiled.signature)
    difference.decisions += int(np.count_nonzero(answer.prediction != decided))


def _larger(largest: float, differences: NDArray[np.float64]) -> float:
    return float(np.maximum(largest, np.abs(differences).max(initial=0.0)))  # NaN wins, and refuses


def _thresholds(compiled: CompiledModel, model: Any) -> dict[str, list[float]]:
    by_feature = thresholds(final_estimator(model))
    return {
        block.column: raw_thresholds(block, by_feature[block.start])
        for block in compiled.runtime.blocks
        if isinstance(block, NumberBlock) and block.start in by_feature
    }


def _microseconds(compiled: CompiledModel, features: pd.DataFrame, rows: int) -> float:
    batch = features.iloc[np.resize(np.arange(len(features)), rows)]
    columns, _ = columns_from_frame(batch, compiled.signature)
    served = compiled.served()
    return median(_seconds(lambda: served.predict(columns, rows)) for _ in range(_REPEATS[rows])) * 1e6 / rows


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
