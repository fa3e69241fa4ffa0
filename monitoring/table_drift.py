"""The drift of a table of one's own, scored by the version it is compared with."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from inference.errors import InferenceError
from inference.loading import load_model
from monitoring.counted_window import PREDICTION, count_table, reference_window
from monitoring.drift import compare
from monitoring.drift_policy import DriftPolicy
from monitoring.drift_report import DriftAnswer
from monitoring.drift_traffic import estimated
from monitoring.profile import ReferenceProfile
from monitoring.scored_table import known_outcomes, scored_table

if TYPE_CHECKING:
    import pandas as pd


def table_drift(
    profile: ReferenceProfile,
    frame: pd.DataFrame,
    folder: Path,
    *,
    label: str | None,
    policy: DriftPolicy,
    named: tuple[str, str],
    now: datetime,
) -> DriftAnswer:
    """Return the drift of a table from a version's profile.

    Args:
        profile: Of the version.
        frame: Rows with the features; other columns are left aside.
        folder: The version's `fairmind` folder, to score the rows by; where one does not fit, features alone are
            compared, and a note says why.
        label: Column of the true labels, where they are known.
        policy: What counts as drift.
        named: Model and version.
        now: When it is.
    """
    notes: tuple[str, ...] = ()
    try:
        table = scored_table(frame, load_model(folder), profile)
    except InferenceError as error:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        notes = (f"the rows were not scored, their features are compared alone: {error}",)
    window = count_table(profile, table, label=label)
    is_scored = PREDICTION in table.column_names
    outcomes = known_outcomes(table, label, profile) if label is not None and is_scored else None
    performance = estimated(profile, window, outcomes)
    return DriftAnswer(
        model=named[0],
        model_version=named[1],
        since=now,
        until=now,
        rows=window.rows,
        against_profile=compare(profile, reference_window(profile), window, policy, notes=notes),
        against_previous=None,
        performance=performance,
        performance_reason="" if performance else "performance without labels is estimated of binary classifiers",
        notes=notes,
    )
