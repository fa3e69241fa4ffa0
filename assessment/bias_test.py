"""Run a bias test on rows that a request brings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assessment.columns import BiasTestColumns, Subject, assess_columns, compact
from assessment.errors import NotAClassifierError
from assessment.flips import FlipReport
from assessment.proxies import ProxyReport, drawn, proxy_report
from assessment.request import BiasTestRequest
from assessment.result import BiasTestResult, DataSource


@dataclass(frozen=True, slots=True)
class Scored:
    """What a served model decided about the rows of a request, in their order.

    `classes` are the labels of the model's signature; empty says that it is a regressor. `flips` are what became of
    the swaps that the request asks for.
    """

    model: str
    model_version: str
    classes: tuple[Any, ...]
    predictions: Sequence[Any] | NDArray[Any]
    flips: tuple[FlipReport, ...] = ()


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
    protected = {
        name: [instance.protected.get(name) for instance in request.instances] for name in request.attributes()
    }
    result = assess_columns(
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
            protected=protected,
        ),
        favourable=request.favourable,
        classes=scored.classes if scored is not None else (),
        options=request,
        generator=generator,
    )
    found = {"flips": scored.flips if scored is not None else (), "proxies": _proxies(request, protected)}
    return result.model_copy(update=found)


def _proxies(request: BiasTestRequest, protected: Mapping[str, Sequence[Any]]) -> tuple[ProxyReport, ...]:
    if not request.proxies:
        return ()
    rows = drawn(len(request.instances), np.random.default_rng(0)).tolist()  # the same rows for the same test
    features = [request.instances[row].features or {} for row in rows]
    columns = {
        name: [row.get(name) for row in features] for name in dict.fromkeys(n for row in features for n in row)
    }
    return tuple(
        proxy_report(name, [values[row] for row in rows], columns, request.edges.get(name))
        for name, values in protected.items()
    )
