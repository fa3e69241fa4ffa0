"""Run a bias test on rows that a request brings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assessment.columns import BiasTestColumns, Subject, assess_columns, compact
from assessment.errors import NotAClassifierError
from assessment.request import BiasTestRequest
from assessment.result import BiasTestResult, DataSource


@dataclass(frozen=True, slots=True)
class Scored:
    """What a served model decided about the rows of a request, in their order.

    `classes` are the labels of the model's signature; empty says that it is a regressor.
    """

    model: str
    model_version: str
    classes: tuple[Any, ...]
    predictions: Sequence[Any] | NDArray[Any]


Scorer = Callable[[BiasTestRequest], Scored]
"""Finds the model the request names and predicts its rows."""


def run(
    request: BiasTestRequest,
    scorer: Scorer,
    *,
    test_id: str,
    created_at: datetime,
    generator: np.random.Generator | None = None,
) -> BiasTestResult:
    """Check the request, score its rows where it brings no predictions, and return the result.

    Raises:
        AssessmentError: The request cannot be tested as it is.
        FairnessError: Its columns cannot be measured.
    """
    request.check()
    scored = scorer(request) if request.predictions is None else None
    return assess(request, scored, test_id=test_id, created_at=created_at, generator=generator)


def assess(
    request: BiasTestRequest,
    scored: Scored | None,
    *,
    test_id: str,
    created_at: datetime,
    generator: np.random.Generator | None = None,
) -> BiasTestResult:
    """Return the result of a request whose rows have been scored (None: it brought its own predictions).

    For callers that score asynchronously: `request.check()`, score, then this.
    """
    request.check()
    if scored is not None and not scored.classes:
        raise NotAClassifierError(scored.model)
    predictions = scored.predictions if scored is not None else request.predictions or ()
    names = request.attributes()
    return assess_columns(
        Subject(
            model=scored.model if scored is not None else request.model,
            model_version=scored.model_version if scored is not None else request.version,
            source=DataSource.PREDICTIONS if scored is None else DataSource.SCORED,
            test_id=test_id,
            created_at=created_at,
        ),
        BiasTestColumns(
            predictions=compact(predictions.tolist() if isinstance(predictions, np.ndarray) else list(predictions)),
            outcomes=compact([instance.outcome for instance in request.instances]),
            protected={name: [instance.protected.get(name) for instance in request.instances] for name in names},
        ),
        favourable=request.favourable,
        classes=scored.classes if scored is not None else (),
        policy=request.policy,
        alpha=request.alpha,
        minimum_rows=request.minimum_rows,
        generator=generator,
    )
