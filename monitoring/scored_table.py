"""A table of raw rows with what a version answers to them, in the columns that drift is counted by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from inference.frames import columns_from_frame
from inference.served_model import ServedModel
from monitoring.counted_window import PREDICTION, SCORE, as_answers
from monitoring.drift_traffic import OutcomeCounts
from monitoring.profile import NumberProfile, ReferenceProfile

if TYPE_CHECKING:
    import pandas as pd

_ROWS_PER_CALL: Final = 50_000


def scored_table(frame: pd.DataFrame, served: ServedModel, profile: ReferenceProfile) -> pa.Table:
    """Return the rows with `fairmind.prediction` and, of a binary classifier, `fairmind.score`.

    Raises:
        SignatureMismatchError: A column is missing, or a value does not fit.
    """
    predictions, scores = [], []
    for start in range(0, len(frame), _ROWS_PER_CALL):
        columns, rows = columns_from_frame(frame.iloc[start : start + _ROWS_PER_CALL], served.signature)
        answered = served.predict(columns, rows)
        predictions.append(answered.prediction)
        if answered.probabilities is not None and answered.probabilities.shape[1] == 2:
            scores.append(answered.probabilities[:, 1])
    table = pa.Table.from_pandas(frame, preserve_index=False)
    told = pa.array(np.concatenate(predictions).tolist())
    table = table.append_column(PREDICTION, as_answers(told, profile))
    return table.append_column(SCORE, pa.array(np.concatenate(scores))) if scores else table


def known_outcomes(table: pa.Table, label: str, profile: ReferenceProfile) -> OutcomeCounts | None:
    """Return how often each answer had which label; None of a regressor."""
    if profile.outcome is None or isinstance(profile.outcome, NumberProfile):
        return None
    pairs = pa.table({"answer": table.column(PREDICTION), "label": as_answers(table.column(label), profile)})
    counted = pairs.group_by(["answer", "label"]).aggregate([([], "count_all")]).to_pylist()
    return OutcomeCounts({(row["answer"], row["label"]): row["count_all"] for row in counted if row["label"]})
