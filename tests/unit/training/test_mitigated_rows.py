from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cli.failures import BAD_INPUT, exit_status
from tests.fakes.biased import biased_people, configured
from training.config import TrainingConfig
from training.data import prepare
from training.errors import ConfigError, MitigationError
from training.mitigated_rows import MitigatedRows, mitigated_rows
from training.mitigation import Constraint, Method, Mitigation
from training.split import split_rows


def rows_of(frame: pd.DataFrame, config: TrainingConfig) -> MitigatedRows:
    data = prepare(frame, config)
    assert config.mitigation is not None
    return mitigated_rows(config, config.mitigation, data, split_rows(data.labels, config.split))


def refused(frame: pd.DataFrame, config: TrainingConfig) -> str:
    with pytest.raises(MitigationError) as caught:
        rows_of(frame, config)
    assert exit_status(caught.value) == BAD_INPUT
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("favourable", ["yes", "no"])
def test_rows_know_their_group_and_which_label_is_good(favourable: str) -> None:
    frame = biased_people(400)
    rows = rows_of(frame, configured(favourable=favourable))

    assert rows.groups.names == ("f", "m", "unknown")
    assert len(rows.is_second) == 300
    assert 0 < (~rows.is_known).sum() < 20
    assert (rows.is_favourable == rows.is_second).all() == (favourable == "yes")
    assert set(rows.names[rows.is_known]) == {"f", "m"}


@pytest.mark.parametrize("values", ["f", None])
def test_one_group_or_none_is_refused_by_name(values: str | None) -> None:
    frame = biased_people(400).assign(sex=pd.Series([values] * 400, dtype="str"))
    said = refused(frame, configured())
    assert "no mitigation for 'sex'" in said
    assert ("of group 'f'" if values else "no row has a group") in said
    assert "two groups are needed" in said


def test_a_group_of_too_few_rows_is_refused_with_its_name_and_its_rows() -> None:
    frame = biased_people(400)
    frame.loc[:19, "sex"] = "x"
    assert "group 'x' has" in refused(frame, configured())
    assert "at least 30 are needed (gates.minimum_rows)" in refused(frame, configured())
    assert rows_of(frame, configured(gates={"minimum_rows": 5})).groups.names == ("f", "m", "x", "unknown")


def test_a_group_of_one_label_is_refused_with_its_name() -> None:
    frame = biased_people(400)
    frame.loc[frame["sex"] == "f", "y"] = "no"
    assert "group 'f' has" in refused(frame, configured())
    assert "all have the same label" in refused(frame, configured())


def test_a_label_of_three_classes_and_a_quantity_are_refused() -> None:
    frame = biased_people(400)
    frame["y"] = np.where(frame["age"] > 60, "late", frame["y"])
    assert "the task of label 'y' is multiclass" in refused(frame, configured())


def test_a_threshold_by_group_is_refused_where_requests_do_not_say_the_group() -> None:
    frame = biased_people(400)
    assert "the attribute is no feature; make it one (protected_as_features" in refused(
        frame, configured("threshold")
    )
    assert rows_of(frame, configured("threshold", protected_as_features=True)).attribute == "sex"
    frame["sex"] = frame["sex"].map({"f": 1.0, "m": 2.0})
    assert "its column holds numbers" in refused(frame, configured("threshold", protected_as_features=True))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"protected": []}, "needs its protected attribute named; there are: none"),
        ({"protected": ["sex", "job"]}, "needs its protected attribute named; there are: sex, job"),
        (
            {"mitigation": {"method": "reweighing", "attribute": "race"}},
            "is for 'race', which is not among the prot",
        ),
        ({"favourable": None}, "a mitigation needs the favourable label named"),
        ({"mitigation": {"method": "wishing"}}, "Input should be 'reweighing', 'threshold' or 'exponentiated-grad"),
        ({"mitigation": {"method": "reweighing", "constraint": "equalized_odds"}}, "knows demographic_parity only"),
    ],
)
def test_what_cannot_be_meant_is_a_wrong_configuration(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(**changes)
    assert reason in str(caught.value)


def test_a_configuration_with_a_mitigation_reads_back_as_it_was(tmp_path: Path) -> None:
    asked = {"method": "threshold", "attribute": "sex", "constraint": "equalized_odds"}
    config = configured(mitigation=asked)
    (tmp_path / "c.yaml").write_text(config.model_copy().to_yaml())
    read = TrainingConfig.from_yaml(tmp_path / "c.yaml")
    assert read.mitigation == Mitigation(
        method=Method.THRESHOLD, attribute="sex", constraint=Constraint.EQUALIZED_ODDS
    )
