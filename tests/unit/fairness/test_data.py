from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from fairness.data import data_metrics
from fairness.errors import LengthMismatchError, UnknownReferenceError
from fairness.groups import encode

SEX = ["f"] * 40 + ["m"] * 60 + [None] * 5
LABELS = ["yes"] * 10 + ["no"] * 25 + ["maybe"] * 5 + ["yes"] * 30 + ["no"] * 20 + ["maybe"] * 10 + ["yes"] * 5


def test_distances_are_those_of_scipy() -> None:
    found = {name: each.value for name, each in data_metrics("sex", encode("sex", SEX), LABELS, "yes")["f"].items()}
    a, d = np.array([30, 20, 10]) / 60, np.array([10, 25, 5]) / 40
    assert found == pytest.approx(
        {
            "clarify.CI": 0.2,
            "clarify.DPL": 0.25,
            "clarify.KL": entropy(a, d),
            "clarify.JS": jensenshannon(a, d) ** 2,
            "clarify.LP": np.linalg.norm(a - d),
            "clarify.TVD": np.abs(a - d).sum() / 2,
            "clarify.KS": np.abs(a - d).max(),
        }
    )


def test_the_reference_is_everyone_else_or_the_group_named() -> None:
    race = ["x"] * 30 + ["y"] * 50 + ["z"] * 20
    labels = np.array([1] * 30 + [0] * 50 + [1] * 10 + [0] * 10)
    rest = data_metrics("race", encode("race", race), labels, 1)
    assert rest["y"]["clarify.DPL"].value == pytest.approx(40 / 50)
    named = data_metrics("race", encode("race", race), labels, 1, reference="x")
    assert set(named) == {"y", "z"}
    assert named["z"]["clarify.DPL"].value == pytest.approx(0.5)
    assert named["z"]["clarify.CI"].value == pytest.approx(0.2)
    with pytest.raises(UnknownReferenceError):
        data_metrics("race", encode("race", race), labels, 1, reference="w")


def test_the_paradox_of_berkeley_is_resolved_by_the_department() -> None:
    """More of d are rejected overall, and in each department fewer: CDDL and DPL point in opposite directions."""
    cells = [("d", "hard", 1, 20), ("d", "hard", 0, 60), ("a", "hard", 1, 4), ("a", "hard", 0, 16)]
    cells += [("d", "easy", 1, 18), ("d", "easy", 0, 2), ("a", "easy", 1, 64), ("a", "easy", 0, 16)]
    sex, department, label = ([value for *row, n in cells for value in [row[i]] * n] for i in range(3))
    found = data_metrics("sex", encode("sex", sex), label, 1, condition=encode("dept", department))["d"]
    assert found["clarify.DPL"].value is not None
    assert found["clarify.DPL"].value > 0.2
    hard = 60 / 76 - 20 / 24
    easy = 2 / 18 - 18 / 82
    assert found["clarify.CDDL"].value == pytest.approx((hard + easy) / 2)
    assert found["clarify.CDDL"].value < 0


def test_strata_and_labels_that_are_not_known_are_left_out() -> None:
    sex, label, stratum = ["a", "d", "a", "d", "d"], [1, 0, 0, None, 1], ["s", "s", "s", "s", None]
    found = data_metrics("sex", encode("sex", sex), label, 1, condition=encode("c", stratum))["d"]
    assert found["clarify.CDDL"].value == pytest.approx(1 / 2 - 0)
    assert found["clarify.CI"].value == 0.0


def test_what_cannot_be_said_is_undefined_with_the_reason() -> None:
    one_sided = data_metrics("sex", encode("sex", ["a", "a", "d"]), [1, 0, 0], 1)["d"]
    assert one_sided["clarify.KL"].reason == "the group never has a label that the reference has"
    assert one_sided["clarify.JS"].value is not None
    alone = data_metrics("sex", encode("sex", ["d"]), [1], 1)["d"]
    assert "reference has no rows" in str(alone["clarify.DPL"].reason)
    assert alone["clarify.TVD"].value is None
    same = data_metrics("sex", encode("sex", ["a", "d"]), [1, 1], 1, condition=encode("c", ["s", "s"]))["d"]
    assert same["clarify.CDDL"].reason == "all labels are of one kind"
    with pytest.raises(LengthMismatchError):
        data_metrics("sex", encode("sex", ["a", "d"]), [1], 1)
    with pytest.raises(LengthMismatchError):
        data_metrics("sex", encode("sex", ["a", "d"]), [1, 0], 1, condition=encode("c", ["s"]))
