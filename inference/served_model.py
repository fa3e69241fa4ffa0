"""A model version that is ready to answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.decision import Decision
from inference.runtime import EncodedColumns, RemoteRuntime, Runtime, plain_columns, run_encoded
from inference.signature import Signature, Task


@dataclass(slots=True)
class Predictions:
    """The answer for N rows, in their order.

    `prediction` is [N] labels or values, [N, M] where the signature names M outputs; `probabilities` is [N, K] in
    the order of the signature's classes, and None where the task is no classification, or a remote gives none.
    `version` is what answered, where that is not the version that was asked: a remote server may change.
    """

    prediction: NDArray[Any]
    probabilities: NDArray[np.float64] | None
    version: str | None = None

    def scores(self, signature: Signature) -> NDArray[Any] | None:
        """Return one number per row: P(classes[1]) of a binary classifier, of other classifiers that of the answer,
        of a regressor the value; None where there is not one."""
        if self.probabilities is None:
            return self.prediction if signature.task is Task.REGRESSION and not signature.outputs else None
        if signature.task is Task.BINARY:
            return self.probabilities[:, 1]
        return np.asarray(self.probabilities.max(axis=1))


@dataclass(frozen=True, slots=True)
class ServedModel:
    """What a model version accepts, how it decides, and the runtime that scores it."""

    signature: Signature
    decision: Decision
    runtime: Runtime
    is_remote: bool = field(init=False)
    """Whether the runtime is a RemoteRuntime: asked of each batch, and asking a protocol costs 20 µs."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_remote", isinstance(self.runtime, RemoteRuntime))

    def predict(self, columns: EncodedColumns, rows: int) -> Predictions:
        """Return the predictions of `rows` rows whose columns fit the signature."""
        scores = run_encoded(self.runtime, columns, rows)
        return Predictions(self.decision.apply(scores, self.signature), scores.probabilities)

    def predict_within(
        self, columns: EncodedColumns, rows: int, *, params: Mapping[str, Any] | None, seconds: float | None
    ) -> Predictions:
        """Return the predictions of `rows` rows under the model's own `params`, given up after `seconds`.

        A compiled model knows no parameters and is never interrupted: it is quick, or it would run elsewhere.

        Raises:
            ModelTimeoutError: The model took longer.
        """
        if not isinstance(self.runtime, RemoteRuntime):
            return self.predict(columns, rows)
        scores = self.runtime.run_within(plain_columns(columns), rows, params=params, seconds=seconds)
        return Predictions(self.decision.apply(scores, self.signature), scores.probabilities)
