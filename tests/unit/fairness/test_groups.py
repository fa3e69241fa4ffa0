from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fairness.errors import UnusableGroupsError
from fairness.groups import MAXIMUM_GROUPS, UNKNOWN, Groups, encode


def decoded(groups: Groups) -> list[str]:
    return [groups.names[code] for code in groups.codes]


def test_one_two_as_number_float_or_text_are_the_same_groups() -> None:
    expected = ["2", "1", "2"]
    for column in ([2, 1, 2], [2.0, 1.0, 2.0], ["2", "1", " 2"], np.array([2, 1, 2]), pd.Series(["2", "1", "2"])):
        assert decoded(encode("sex", column)) == expected


def test_every_way_to_be_missing_is_the_group_unknown() -> None:
    values = [None, float("nan"), np.float32("nan"), pd.NA, pd.NaT, "", "  ", "unknown"]
    assert decoded(encode("sex", [*values, "f"])) == [UNKNOWN] * len(values) + ["f"]


def test_groups_are_sorted_as_people_do_with_the_unknown_last() -> None:
    assert encode("age", ["10", "9", None, "b", "a"]).names == ("9", "10", "a", "b", UNKNOWN)


def test_a_categorical_is_read_from_its_codes_without_its_unused_categories() -> None:
    column = pd.Series(["m", None, "f", "m"], dtype=pd.CategoricalDtype(["f", "m", "x"]))
    for values in (column, column.cat):
        groups = encode("sex", values if values is column else column.array)
        assert decoded(groups) == ["m", UNKNOWN, "f", "m"]
        assert groups.names == ("f", "m", UNKNOWN)


def test_no_rows_are_no_groups() -> None:
    groups = encode("sex", [])
    assert groups.names == ()
    assert len(groups.codes) == 0


def test_a_measurement_is_refused_as_a_group() -> None:
    with pytest.raises(UnusableGroupsError, match="send ranges instead of numbers"):
        encode("income", np.arange(MAXIMUM_GROUPS + 1))


def test_a_value_that_is_no_scalar_is_refused_without_showing_it() -> None:
    with pytest.raises(UnusableGroupsError, match="'sex'") as caught:
        encode("sex", [["secret"]])
    assert "secret" not in str(caught.value)
