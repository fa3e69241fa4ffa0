"""Run a bias test on a window of live traffic, from its counts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np

from assessment.columns import DEFAULTS, BiasTestColumns, Subject, assess_columns, compact
from assessment.errors import EmptyTestError, ScoresError, TooManyLabelsError
from assessment.options import Label, MeasuringOptions
from assessment.request import chosen_attributes
from assessment.result import BiasTestResult, DataSource
from monitoring.window_cells import NUMBER, OTHER
from monitoring.windows import WindowCounts, attributes_told, label_value


def assess_traffic(
    window: WindowCounts,
    *,
    favourable: Label,
    test_id: str,
    created_at: datetime,
    classes: Sequence[Any] = (),
    protected: Sequence[str] | None = None,
    options: MeasuringOptions = DEFAULTS,
    generator: np.random.Generator | None = None,
) -> BiasTestResult:
    """Return the bias test of what was counted in a window; rows without an attribute are its group "unknown".

    It is that of the rows themselves. `classes` are the labels of the model, where the caller knows them: they tell
    a label that nobody got from one that does not exist. Rows of several versions are tested together, and a note
    says so.

    Raises:
        AssessmentError: There are no rows, no protected attributes, or labels that are none of the classes.
        FairnessError: The counts cannot be measured.
    """
    if not window.rows:
        raise EmptyTestError(
            "nothing that was served in the window is in the log: choose another, or wait a moment"
        )
    versions = window.versions
    return assess_columns(
        Subject(
            model=window.model,
            model_version=versions[0] if len(versions) == 1 else None,
            source=DataSource.TRAFFIC,
            test_id=test_id,
            created_at=created_at,
            notes=tuple(_notes(window)),
        ),
        window_columns(window, protected),
        favourable=favourable,
        classes=classes,
        options=options,
        generator=generator,
    )


def window_columns(window: WindowCounts, protected: Sequence[str] | None) -> BiasTestColumns:
    """Return the columns of a bias test: a row for what is alike, weighted by how many predictions it is.

    Raises:
        NoProtectedAttributeError: There is none, or one that was asked for is in no row.
        ScoresError: The predictions are quantities.
        TooManyLabelsError: Not all labels are told apart.
    """
    kinds = list(window.counts)
    if any(alike.prediction == NUMBER for alike in kinds):
        raise ScoresError
    for field in ("prediction", "outcome"):
        if any(getattr(alike, field) in {NUMBER, OTHER} for alike in kinds):
            raise TooManyLabelsError(field)
    names = chosen_attributes([dict.fromkeys(attributes_told(window))], protected)
    groups = [alike.attributes for alike in kinds]
    return BiasTestColumns(
        predictions=compact([label_value(alike.prediction) for alike in kinds]),
        outcomes=compact([label_value(alike.outcome) for alike in kinds]),
        protected={name: [each.get(name) for each in groups] for name in names},
        weights=np.array([amount.n for amount in window.counts.values()], dtype=np.int64),
    )


def _notes(window: WindowCounts) -> list[str]:
    notes = []
    if len(window.versions) > 1:
        notes.append(f"versions {', '.join(window.versions)} are tested together")
    others = window.rows_of_other_groups
    if others:
        notes.append(
            f"{others} rows are of more combinations of groups than are counted apart in a day "
            "(FAIRMIND_MONITORING_MOST_GROUPS); they are in the group unknown"
        )
    return notes
