"""One answer out of several variants' parts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from bentos.dataplane import Part
from bentos.joined_parts import join_parts
from bentos.served import Variant
from inference.served_model import Predictions
from inference.signature import Column, ColumnType, Signature, Task

COLUMNS = (Column(name="age", type=ColumnType.DOUBLE),)
BINARY = Signature(columns=COLUMNS, task=Task.BINARY, classes=(0, 1))


def part(
    name: str | None, version: str, positions: list[int], signature: Signature, values: Any, proba: Any = None
) -> Part:
    batcher: Any = SimpleNamespace(model=SimpleNamespace(signature=signature))
    predictions = Predictions(np.asarray(values), None if proba is None else np.asarray(proba))
    return Part(Variant(name, version, batcher), positions, [], predictions)


def test_one_part_is_the_answer_itself() -> None:
    one = part(None, "3", [0, 1], BINARY, [0, 1], [[0.9, 0.1], [0.2, 0.8]])
    joined = join_parts([one], 2)
    assert joined.predictions is one.predictions
    assert (joined.versions, joined.variants, joined.signature) == ("3", None, BINARY)


def test_rows_are_put_back_in_the_order_in_which_they_were_sent() -> None:
    first = part("challenger", "2", [0, 3], BINARY, [1, 0], [[0.1, 0.9], [0.6, 0.4]])
    second = part("champion", "1", [1, 2], BINARY, [0, 1], [[0.8, 0.2], [0.3, 0.7]])
    joined = join_parts([first, second], 4)
    assert joined.predictions.prediction.tolist() == [1, 0, 1, 0]
    assert joined.predictions.prediction.dtype == np.int64
    assert joined.predictions.probabilities is not None
    assert joined.predictions.probabilities[:, 1].tolist() == [0.9, 0.2, 0.7, 0.4]
    assert (joined.versions, joined.variants) == ("2,1", "challenger,champion")


def test_probabilities_are_left_out_where_the_classes_are_not_the_same() -> None:
    truths = Signature(columns=COLUMNS, task=Task.BINARY, classes=(False, True))
    first = part("challenger", "2", [0], BINARY, [1], [[0.1, 0.9]])
    second = part("champion", "1", [1], truths, [True], [[0.3, 0.7]])
    joined = join_parts([first, second], 2)
    assert joined.predictions.probabilities is None
    assert joined.predictions.prediction.tolist() == [1, True]
    assert [type(value) for value in joined.predictions.prediction.tolist()] == [int, bool]


def test_answers_of_other_kinds_are_kept_as_they_are() -> None:
    several = Signature(columns=COLUMNS, task=Task.REGRESSION, outputs=("y0", "y1"))
    opaque = Signature(columns=COLUMNS, task=Task.OPAQUE)
    first = part("challenger", "2", [1], several, [[1.5, 2.5]])
    second = part("champion", "1", [0], opaque, np.array(["a"], dtype=object))
    joined = join_parts([first, second], 2)
    assert joined.predictions.prediction.tolist() == ["a", [1.5, 2.5]]
    assert joined.signature is opaque
