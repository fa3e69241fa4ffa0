from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from training.config import TrainingConfig, UnknownCategories
from training.errors import DataError
from training.features import Role, choose_features, preprocessor


def _config(**changes: Any) -> TrainingConfig:
    content = {"name": "m", "source": {"kind": "file", "path": "t.csv"}, "label": "y", **changes}
    return TrainingConfig.parse(content, where="test")


def test_every_column_left_out_is_said_with_its_reason(people: pd.DataFrame) -> None:
    features, notes = choose_features(people, _config(protected=["sex"]))

    assert dict(features.roles) == {
        "age": Role.NUMBER,
        "job": Role.TEXT,
        "income": Role.NUMBER,
        "owner": Role.BOOLEAN,
    }
    said = "\n".join(notes)
    for column, reason in {
        "person_id": "numbers the rows",
        "email": "all its values are different",
        "country": "the same value in every row",
        "nothing": "no value at all",
        "since": "holds dates",
    }.items():
        assert f"column '{column}' is left out: " in said
        assert reason in said
    assert len(notes) == 5


def test_a_protected_attribute_is_a_feature_only_by_choice(people: pd.DataFrame) -> None:
    without, _ = choose_features(people, _config(protected=["sex"]))
    with_it, _ = choose_features(people, _config(protected=["sex"], protected_as_features=True))

    assert "sex" not in without.roles
    assert with_it.roles["sex"] is Role.TEXT


def test_listed_features_are_taken_in_their_order_and_integers_become_doubles(people: pd.DataFrame) -> None:
    features, notes = choose_features(people, _config(features=["job", "person_id"]))
    table = features.table(people)

    assert list(table.columns) == ["job", "person_id"]
    assert table["person_id"].dtype == np.float64
    assert notes == []


@pytest.mark.parametrize(
    ("features", "reason"),
    [
        (["shoe"], "no column 'shoe'"),
        (["since"], "holds dates"),
        (["nothing"], "no value at all"),
        ([], "no column is"),
    ],
)
def test_a_listed_feature_that_cannot_be_used_is_an_error(
    people: pd.DataFrame, features: list[str], reason: str
) -> None:
    with pytest.raises(DataError, match=reason):
        choose_features(people, _config(features=features))


def test_texts_with_too_many_values_and_infinite_numbers_are_left_out() -> None:
    frame = pd.DataFrame(
        {
            "code": [f"c{n // 2}" for n in range(80)],
            "x": [np.inf, *range(79)],
            "z": [1.5, 2.5] * 40,
            "y": [0, 1] * 40,
        }
    )
    features, notes = choose_features(frame, _config(max_categories=30))

    assert list(features.roles) == ["z"]
    assert "40 different texts (limit 30" in notes[0]
    assert "infinite" in notes[1]


def test_nothing_left_to_learn_from_is_an_error() -> None:
    with pytest.raises(DataError, match="no column is left"):
        choose_features(pd.DataFrame({"c": ["a"] * 4, "y": [0, 1] * 2}), _config())


@pytest.mark.parametrize("dense", [True, False])
def test_a_gap_is_a_category_of_its_own_and_an_unknown_one_leaves_zeros(people: pd.DataFrame, dense: bool) -> None:
    features, _ = choose_features(people, _config(features=["job"]))
    fitted = preprocessor(features, UnknownCategories.IGNORE, dense=dense).fit(features.table(people))
    made = fitted.transform(pd.DataFrame({"job": pd.Series(["smith", None, "king"], dtype="str")}))
    matrix = made if dense else np.asarray(made.todense()) if hasattr(made, "todense") else made

    # baker, clerk, missing, smith
    assert matrix.tolist() == [[0, 0, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0]]


def test_where_unknown_categories_are_errors_those_of_the_held_out_rows_are_known(people: pd.DataFrame) -> None:
    features, _ = choose_features(people, _config(features=["job", "sex"]))
    table = features.table(people)
    fitted = preprocessor(features, UnknownCategories.ERROR, dense=True).fit(table[table["job"] != "baker"])

    assert fitted.transform(table).shape == (len(table), 4 + 2)
    with pytest.raises(ValueError, match="unknown categories"):
        fitted.transform(pd.DataFrame({"job": ["king"], "sex": ["f"]}))
    with pytest.raises(ValueError, match="unknown categories"):
        fitted.transform(pd.DataFrame({"job": ["baker"], "sex": pd.Series([None], dtype="str")}))
