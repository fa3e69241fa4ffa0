from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from inference.signature import Task
from training.config import Label, TaskChoice
from training.errors import DataError
from training.labels import read_labels


@pytest.mark.parametrize(
    ("values", "task", "classes", "favourable"),
    [
        ([0, 1, 1, 0], Task.BINARY, (0, 1), 1),
        ([0.0, 1.0, 1.0, 0.0], Task.BINARY, (0, 1), 1),
        ([True, False, True, False], Task.BINARY, (False, True), True),
        (["yes", "no", "yes", "no"], Task.BINARY, ("no", "yes"), "yes"),
        (["a", "b", "c"] * 2, Task.MULTICLASS, ("a", "b", "c"), None),
        ([3, 1, 2] * 2, Task.MULTICLASS, (1, 2, 3), None),
        ([0.5, 1.25, 3.0, 9.0], Task.REGRESSION, (), None),
        (list(range(40)), Task.REGRESSION, (), None),
    ],
)
def test_the_task_and_classes_follow_from_the_values(
    values: list[object], task: Task, classes: tuple[Label, ...], favourable: Label | None
) -> None:
    labels, notes = read_labels(pd.Series(values, name="y"))

    assert (labels.task, labels.classes, labels.favourable) == (task, classes, favourable)
    assert [type(label) for label in labels.classes] == [type(label) for label in classes]
    assert notes, "every assumption is said"


@pytest.mark.parametrize(
    ("given", "values", "meant"),
    [
        ("0", [0, 1, 0, 1], 0),
        (0, ["0", "1", "0", "1"], "0"),
        ("true", [True, False] * 2, True),
        ("no", ["no", "yes"] * 2, "no"),
        (1, [True, False] * 2, None),
        ("b", ["a", "b", "c"] * 2, "b"),
    ],
)
def test_a_favourable_label_may_come_from_a_command_line(
    given: Label, values: list[object], meant: Label | None
) -> None:
    column = pd.Series(values, name="y")
    if meant is None:
        with pytest.raises(DataError, match="is not among the labels"):
            read_labels(column, favourable=given)
    else:
        labels, notes = read_labels(column, favourable=given)
        assert labels.favourable == meant
        assert type(labels.favourable) is type(meant)
        assert notes == []


@pytest.mark.parametrize(
    ("values", "task", "reason"),
    [
        ([1, None, 0], TaskChoice.AUTO, "1 of 3 rows have no label in 'y'; remove them first"),
        ([1, 1, 1], TaskChoice.AUTO, "the same value in every row"),
        (["a", "b", "b"], TaskChoice.AUTO, "class 'a' of the label 'y' has one row"),
        (["a", "b"], TaskChoice.REGRESSION, "is no number"),
        ([0.5, 0.7], TaskChoice.CLASSIFICATION, "holds fractions"),
        ([0.5, np.inf], TaskChoice.AUTO, "infinite"),
        ([f"{n}" for n in range(150)] * 2, TaskChoice.AUTO, "150 classes"),
    ],
)
def test_labels_that_cannot_be_learned_are_refused(values: list[object], task: TaskChoice, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        read_labels(pd.Series(values, name="y"), task=task)


def test_a_yaml_yes_is_explained() -> None:
    with pytest.raises(DataError, match="YAML reads an unquoted yes or no"):
        read_labels(pd.Series(["yes", "no"] * 2, name="y"), favourable=True)


def test_a_favourable_quantity_makes_no_sense() -> None:
    with pytest.raises(DataError, match="no classes"):
        read_labels(pd.Series([0.5, 0.7, 0.9], name="y"), favourable=1)


def test_the_configuration_may_make_a_quantity_of_whole_numbers() -> None:
    labels, notes = read_labels(pd.Series([1, 2, 3] * 3, name="y"), task=TaskChoice.REGRESSION)

    assert (labels.task, labels.values.dtype, notes) == (Task.REGRESSION, np.float64, [])
