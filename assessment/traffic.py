"""Run a bias test on a window of live traffic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import numpy as np

from assessment.columns import DEFAULTS, BiasTestColumns, Subject, assess_columns, compact
from assessment.errors import EmptyTestError
from assessment.options import Label, MeasuringOptions
from assessment.request import chosen_attributes
from assessment.result import BiasTestResult, DataSource


class LoggedRow(Protocol):
    """One logged prediction, as `monitoring.windows` returns it."""

    @property
    def model_version(self) -> str:
        """The version that served it."""
        ...

    @property
    def prediction(self) -> Any:
        """What was decided."""
        ...

    @property
    def outcome(self) -> Any:
        """What turned out to be true; None until it is known."""
        ...

    @property
    def protected(self) -> Mapping[str, str | None]:
        """The protected attributes that came with the request or later."""
        ...


def assess_traffic(
    rows: Sequence[LoggedRow],
    *,
    model: str,
    favourable: Label,
    test_id: str,
    created_at: datetime,
    classes: Sequence[Any] = (),
    protected: Sequence[str] | None = None,
    options: MeasuringOptions = DEFAULTS,
    generator: np.random.Generator | None = None,
) -> BiasTestResult:
    """Return the bias test of logged predictions; rows without an attribute are its group "unknown".

    `classes` are the labels of the model, where the caller knows them: they tell a label that nobody got from one
    that does not exist. Rows of several versions are tested together, and a note says so.

    Raises:
        AssessmentError: There are no rows, no protected attributes, or labels that are none of the classes.
        FairnessError: The columns cannot be measured.
    """
    if not rows:
        raise EmptyTestError
    names = chosen_attributes([dict(row.protected) for row in rows], protected)
    versions = sorted({row.model_version for row in rows}, key=lambda version: (len(version), version))
    several = f"versions {', '.join(versions)} are tested together"
    return assess_columns(
        Subject(
            model=model,
            model_version=versions[0] if len(versions) == 1 else None,
            source=DataSource.TRAFFIC,
            test_id=test_id,
            created_at=created_at,
            notes=(several,) if len(versions) > 1 else (),
        ),
        BiasTestColumns(
            predictions=compact([row.prediction for row in rows]),
            outcomes=compact([row.outcome for row in rows]),
            protected={name: [row.protected.get(name) for row in rows] for name in names},
        ),
        favourable=favourable,
        classes=classes,
        options=options,
        generator=generator,
    )
