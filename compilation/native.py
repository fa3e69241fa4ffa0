"""scikit-learn itself on an encoded matrix: measured beside the compiled forms, never stored."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from inference.errors import CompileError
from inference.feature_matrix import FeatureMatrix
from inference.preprocessing import Block
from inference.runtime import Columns, Scores
from inference.stored import Stored


class MatrixRuntime:
    """A fitted estimator behind the blocks of its preprocessing, without pandas."""

    def __init__(self, blocks: tuple[Block, ...], estimator: Any, features: int) -> None:
        plain = copy.copy(estimator)
        if hasattr(plain, "feature_names_in_"):
            del plain.feature_names_in_  # it is given a matrix, and would warn of it
        self._matrix, self._classifies = FeatureMatrix(blocks, features), hasattr(estimator, "classes_")
        self._ask = plain.predict_proba if self._classifies else plain.predict

    def run(self, columns: Columns, rows: int) -> Scores:
        """Return the scores of `rows` rows."""
        answer = np.asarray(self._ask(self._matrix.fill(columns, rows)), dtype=np.float64)
        return Scores(probabilities=answer) if self._classifies else Scores(values=answer)

    def stored(self) -> Stored:
        """Raise CompileError: it needs scikit-learn, which no worker has."""
        raise CompileError("scikit-learn-matrix", "it runs in a runner only")
