"""Why one prediction is what it is: how much each feature adds to the score, beside other rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from explanation.background import Background
from explanation.coded_rows import CodedRows
from explanation.errors import NotExplainableError
from explanation.policy import ExplanationPolicy
from explanation.shapley import shapley
from inference.columns import columns_from_rows
from inference.runtime import EncodedColumns
from inference.served_model import Predictions
from inference.signature import Signature


class Explained(Protocol):
    """A model version that answers."""

    @property
    def signature(self) -> Signature:
        """Its columns and classes."""
        ...

    def predict(self, columns: EncodedColumns, rows: int) -> Predictions:
        """Return its answers."""
        ...


class Contribution(BaseModel):
    """What one feature with its value adds to the score."""

    model_config = ConfigDict(frozen=True)

    feature: str
    value: Any
    contribution: float


class Explanation(BaseModel):
    """A score taken apart: `base`, the mean of the background rows, and the contributions, the largest first.

    `of` says what is explained. Contributions are `exact` where all subsets of columns were asked for; drawn orders
    (`permutation`) are exact where no more than two columns act together, and near it elsewhere. Either way they
    and the base add up to the score but for `additivity_error`. `evaluations` counts the rows that were scored.
    """

    model_config = ConfigDict(frozen=True)

    of: str
    score: float
    base: float
    contributions: tuple[Contribution, ...]
    method: Literal["exact", "permutation"]
    seed: int
    evaluations: int
    additivity_error: float
    background: Literal["logged", "profile"]
    background_rows: int


def explain(
    model: Explained, features: Mapping[str, Any], background: Background, policy: ExplanationPolicy
) -> Explanation:
    """Return why the model answers a row as it does.

    Args:
        model: The version that answers; asked for many rows.
        features: The row, JSON values by column.
        background: At least one row to compare it with.
        policy: How much it may take.

    Raises:
        SignatureMismatchError: The row does not fit the model.
        NotExplainableError: The answer is no number.
        ExplanationError: Or it cannot be made here or now.
    """
    signature = model.signature
    columns = columns_from_rows([dict(features)], signature)
    place, of = _explained(signature, model.predict(columns, 1))
    row = {column.name: features.get(column.name) for column in signature.columns}
    coded = CodedRows(row, background.rows)

    def score(codes: NDArray[np.float64]) -> NDArray[np.float64]:
        rows = coded.rows(codes)
        return _scores(model.predict(columns_from_rows(rows, signature), len(rows)), place)

    found = shapley(score, coded, policy)
    contributions = (
        Contribution(feature=name, value=row[name], contribution=value)
        for name, value in zip(coded.names, found.values.tolist(), strict=True)
    )
    return Explanation(
        of=of,
        score=found.score,
        base=found.base,
        contributions=tuple(sorted(contributions, key=lambda one: -abs(one.contribution))),
        method=found.method,
        seed=policy.seed,
        evaluations=found.evaluations,
        additivity_error=abs(found.base + float(found.values.sum()) - found.score),
        background=background.source,
        background_rows=len(background.rows),
    )


def _explained(signature: Signature, answer: Predictions) -> tuple[int, str]:
    """Return which probability is explained, and what it is called; -1 for an answer that has none."""
    classes = signature.classes
    if answer.probabilities is not None:
        place = 1 if len(classes) == 2 else int(np.argmax(answer.probabilities[0]))
        return place, f"probability of {classes[place]}"
    if answer.prediction.ndim != 1 or answer.prediction.dtype.kind not in "fiu":
        raise NotExplainableError("the answer is not one number, and only numbers are taken apart")
    return -1, "prediction"


def _scores(answer: Predictions, place: int) -> NDArray[np.float64]:
    if answer.probabilities is None:
        return answer.prediction.astype(np.float64)
    return answer.probabilities[:, place]
