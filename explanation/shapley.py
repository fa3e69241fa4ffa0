"""The door to shap: what each column of one row adds to its score, beside the rows of a background.

The value of a set of columns is the mean score of the background rows with those columns taken from the row
(interventional Shapley values: Lundberg and Lee 2017; Janzing, Minorics and Blöbaum 2020). Up to a few columns that
differ, every subset is asked for and the values are exact. Beyond, orders are drawn: the values still add up to the
score, and are exact where no more than two columns act together.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from explanation.coded_rows import CodedRows
from explanation.errors import ExplanationTimeError, NotInstalledError
from explanation.policy import ExplanationPolicy

Score = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Returns a score [N] for the codes [N, columns] of rows."""

_ONE_AT_A_TIME: Final = threading.Lock()  # shap draws from numpy's global generator


@dataclass(frozen=True, slots=True)
class Shapley:
    """The values [columns] of one row; `base`, the mean score of the background, and they add up to `score`.

    `evaluations` is how many rows were scored.
    """

    values: NDArray[np.float64]
    base: float
    score: float
    method: Literal["exact", "permutation"]
    evaluations: int


def shapley(score: Score, rows: CodedRows, policy: ExplanationPolicy) -> Shapley:
    """Return the Shapley values of a row; the same seed gives the same ones.

    Raises:
        NotInstalledError: shap is not installed.
        ExplanationTimeError: The scores took longer than the policy allows.
    """
    shap = _shap()
    counted = _Counted(score, policy.seconds)
    own = float(counted(rows.row)[0])
    if not rows.varying:  # the row is all that the background has
        return Shapley(np.zeros(rows.row.shape[1]), own, own, "exact", counted.rows)
    is_exact = rows.varying <= policy.exact_columns
    with _ONE_AT_A_TIME, _generator_kept():
        masker = shap.maskers.Independent(rows.background, max_samples=len(rows.background))
        if is_exact:
            explainer: Any = shap.explainers.Exact(counted, masker)
            budget = 2**rows.varying + 1
        else:
            explainer = shap.explainers.Permutation(counted, masker, seed=policy.seed)
            budget = policy.permutations * (2 * rows.varying + 1)
        found = explainer(rows.row, max_evals=budget, silent=True)
    base = float(np.ravel(found.base_values)[0])
    return Shapley(found.values[0], base, own, "exact" if is_exact else "permutation", counted.rows)


class _Counted:
    """A score that counts the rows it was asked for, and gives up when the time is over."""

    def __init__(self, score: Score, seconds: float) -> None:
        self._score, self._seconds = score, seconds
        self._until = time.monotonic() + seconds
        self.rows = 0

    def __call__(self, codes: NDArray[np.float64]) -> NDArray[np.float64]:
        if time.monotonic() > self._until:
            raise ExplanationTimeError(self._seconds)
        self.rows += len(codes)
        return self._score(codes)


@contextmanager
def _generator_kept() -> Iterator[None]:
    """Give others numpy's global generator back as it was."""
    state = np.random.get_state()
    try:
        yield
    finally:
        np.random.set_state(state)


def _shap() -> ModuleType:
    # Compiling what shap does beside the scores took 10 s of the first explanation; interpreted it takes 0.05 s.
    os.environ.setdefault("NUMBA_DISABLE_JIT", "1")
    try:
        import shap
        import shap.explainers
        import shap.maskers
    except ImportError as error:
        raise NotInstalledError from error
    module: ModuleType = shap
    return module
