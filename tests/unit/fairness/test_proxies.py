from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2_contingency
from sklearn.metrics import mutual_info_score

from fairness.errors import LengthMismatchError
from fairness.groups import encode
from fairness.proxies import proxies


def test_features_come_by_how_strongly_they_tell_the_group() -> None:
    generator = np.random.default_rng(1)
    sex = generator.integers(0, 2, 3000)
    features = {
        "noise": generator.normal(size=3000),
        "copy": np.where(sex == 1, "m", "f"),
        "leaning": generator.normal(sex, 1.0),
        "constant": ["x"] * 3000,
        "name": [f"n{i}" for i in range(3000)],
        "lists": [[i] for i in range(3000)],
        "gaps": [None if one and i % 2 else float(i % 40) for i, one in enumerate(sex.tolist())],
    }
    found = {one.feature: one for one in proxies(features, encode("sex", sex))}
    assert list(found)[:2] == ["copy", "gaps"] or list(found)[:3] == ["copy", "leaning", "gaps"]
    assert found["copy"].cramers_v == pytest.approx(1, abs=1e-3)
    assert found["copy"].information == pytest.approx(1)
    assert 0.3 < (found["leaning"].cramers_v or 0) < 0.6
    assert (found["noise"].cramers_v or 0) < 0.05
    assert found["noise"].p_value is not None
    assert found["noise"].p_value > 0.001
    assert found["gaps"].p_value is not None
    assert found["gaps"].p_value < 1e-20  # that a value is missing tells something too
    for useless in ("constant", "name", "lists"):
        assert found[useless].cramers_v is None
        assert found[useless].reason


def test_numbers_are_those_of_scipy_and_scikit_learn() -> None:
    generator = np.random.default_rng(2)
    race = generator.integers(0, 4, 800)
    town = (race + generator.integers(0, 3, 800)) % 5
    found = proxies({"town": town}, encode("race", race))[0]
    table = np.bincount(town * 4 + race, minlength=20).reshape(5, 4)
    assert found.p_value == pytest.approx(chi2_contingency(table, correction=False).pvalue)
    shares = np.bincount(race) / 800
    assert found.information == pytest.approx(mutual_info_score(town, race) / -(shares * np.log(shares)).sum())


def test_the_unknown_group_is_left_out() -> None:
    sex = ["f", "m"] * 50 + [None] * 50
    copied = ["f", "m"] * 50 + ["?"] * 50
    assert proxies({"copy": copied}, encode("sex", sex))[0].information == pytest.approx(1)


def test_a_feature_of_another_length_is_refused() -> None:
    with pytest.raises(LengthMismatchError, match="'town'"):
        proxies({"town": [1]}, encode("sex", ["f", "m"]))
