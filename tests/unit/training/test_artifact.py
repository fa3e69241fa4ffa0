from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.ensemble import RandomForestClassifier

from training.artifact import MODEL_FILE, input_example, load_stored
from training.config import TrainingConfig
from training.errors import NotServableError
from training.features import choose_features


def test_a_stored_type_that_is_not_on_the_list_is_named(tmp_path: Path) -> None:
    forest = RandomForestClassifier(2, random_state=0).fit(np.eye(4), [0, 1, 0, 1])
    skops.io.dump(forest, tmp_path / MODEL_FILE)

    with pytest.raises(NotServableError, match=r"holds the type sklearn\.tree\._tree\.Tree"):
        load_stored(tmp_path, ["numpy.dtype"])
    assert load_stored(tmp_path, ["numpy.dtype", "sklearn.tree._tree.Tree"]).n_estimators == 2


def test_the_input_example_is_nobodys_row() -> None:
    rows = pd.DataFrame(
        {
            "a": [1.0, 2.0, 30.0, np.nan],
            "b": ["x", "y", "x", None],
            "c": [True, False, False, False],
            "y": [0, 1] * 2,
        }
    )
    config = TrainingConfig.parse(
        {"name": "m", "source": {"kind": "file", "path": "t.csv"}, "label": "y"}, where="test"
    )
    features, _ = choose_features(rows, config)
    example = input_example(rows, features)

    assert example.to_dict("list") == {"a": [2.0], "b": ["x"], "c": [False]}
    assert example.dtypes.to_dict() == rows[["a", "b", "c"]].dtypes.to_dict()


def test_the_input_example_has_a_value_where_the_rows_have_none() -> None:
    rows = pd.DataFrame({"a": [1.0, 2.0, 4.0, 3.0], "b": ["x", "y", "x", "y"], "y": [0, 1] * 2})
    config = TrainingConfig.parse(
        {"name": "m", "source": {"kind": "file", "path": "t.csv"}, "label": "y"}, where="test"
    )
    features, _ = choose_features(rows, config)
    empty = rows.assign(a=np.nan, b=pd.Series([None] * 4, dtype="str"))

    assert input_example(empty, features).to_dict("list") == {"a": [0.0], "b": ["x"]}
