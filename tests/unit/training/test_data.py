from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from training.config import TrainingConfig
from training.data import prepare
from training.errors import DataError


def _config(**changes: Any) -> TrainingConfig:
    content = {"name": "m", "source": {"kind": "file", "path": "t.csv"}, "label": "y", **changes}
    return TrainingConfig.parse(content, where="test")


def test_protected_attributes_are_kept_apart_from_the_features(people: pd.DataFrame) -> None:
    data = prepare(people, _config(protected=["sex"]))

    assert "sex" not in data.table.columns
    assert data.protected["sex"].tolist() == people["sex"].tolist()
    assert data.fingerprint.rows == len(people)


def test_a_protected_number_is_measured_in_ranges_that_hold_every_row(people: pd.DataFrame) -> None:
    people.loc[3, "income"] = np.nan
    data = prepare(people, _config(protected=["income"]))
    ranges = pd.Series(data.protected["income"])

    assert ranges.isna().tolist() == people["income"].isna().tolist()
    assert ranges.nunique() == 4
    assert ranges.value_counts().min() > len(people) * 0.15
    assert any("ranges of similar size" in note for note in data.notes)
    lows = people["income"].groupby(ranges).max().sort_values()
    highs = people["income"].groupby(ranges).min().sort_values()
    assert (lows.to_numpy()[:-1] < highs.to_numpy()[1:]).all(), "ranges do not overlap"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"label": "z"}, r"no column 'z' \(the label\)"),
        ({"protected": ["race"]}, r"no column 'race' \(the protected attribute\)"),
        ({"exclude": ["Age"]}, r"no column 'Age' \(the excluded column\)"),
    ],
)
def test_a_column_that_is_not_there_is_named_with_those_that_are(
    people: pd.DataFrame, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        prepare(people, _config(**changes))

    assert "person_id" in str(caught.value)


def test_a_handful_of_rows_is_refused(people: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="it has 12 rows; at least 20"):
        prepare(people.head(12), _config())


def test_it_is_said_when_no_fairness_can_be_measured(people: pd.DataFrame) -> None:
    unnamed = prepare(people, _config())
    quantity = prepare(people.dropna(subset="income"), _config(label="income", protected=["sex"]))
    lone = prepare(people, _config(protected=["country"]))

    assert any("no protected attribute" in note for note in unnamed.notes)
    assert any("a quantity selects nobody" in note for note in quantity.notes)
    assert any("fewer than two groups" in note for note in lone.notes)
