"""From scores to the answer: which class a probability stands for."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from inference.runtime import Scores
from inference.signature import Signature, Task


class Decision(BaseModel):
    """How a classifier's probabilities become a label.

    `threshold` None decides as scikit-learn does: the most probable class, the first of them on a tie (binary:
    `classes[1]` only above 0.5). A threshold t is for binary classifiers: `classes[1]` at t and above, so 0 always
    and 1 only at certainty gives `classes[1]`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float | None = Field(default=None, ge=0.0, le=1.0)

    def check(self, signature: Signature) -> None:
        """Raise ValueError when this decision does not fit the model's task."""
        if self.threshold is not None and signature.task is not Task.BINARY:
            raise ValueError(f"a threshold is for binary classifiers, this model's task is {signature.task}")

    def indices(self, probabilities: NDArray[np.float64]) -> NDArray[np.intp]:
        """Return the decided class of each row of `probabilities` [N, K] as its position in the classes."""
        if self.threshold is not None:
            return (probabilities[:, 1] >= self.threshold).astype(np.intp)
        if probabilities.shape[1] == 2:
            return (probabilities[:, 1] > probabilities[:, 0]).astype(np.intp)
        return np.asarray(np.argmax(probabilities, axis=1))

    def apply(self, scores: Scores, signature: Signature) -> NDArray[Any]:
        """Return [N] labels (of `signature.classes`) for a classifier, the values as they are for other tasks."""
        if scores.probabilities is None:
            if scores.values is None:
                raise ValueError("the runtime returned neither values nor probabilities")
            return scores.values
        return class_labels(signature)[self.indices(scores.probabilities)]


def class_labels(signature: Signature) -> NDArray[Any]:
    """Return the signature's classes as an array of their own dtype (int64, float64, bool or object for text)."""
    return _labels(*signature.classes)


# Typed, because (0, 1), (0.0, 1.0) and (False, True) are equal as keys and are not the same labels.
@lru_cache(maxsize=256, typed=True)
def _labels(*classes: int | float | bool | str) -> NDArray[Any]:
    labels = np.array(classes, dtype=object if any(isinstance(label, str) for label in classes) else None)
    labels.setflags(write=False)
    return labels
