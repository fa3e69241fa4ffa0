"""From probabilities to labels: as scikit-learn decides, or at a threshold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from inference.decision import Decision, class_labels
from inference.runtime import Scores
from inference.signature import Signature, Task


def signature(*classes: int | float | bool | str) -> Signature:
    task = Task.BINARY if len(classes) == 2 else Task.MULTICLASS
    return Signature(columns=(), task=task if classes else Task.REGRESSION, classes=classes)


def binary(*second: float) -> Scores:
    return Scores(probabilities=np.array([[1 - p, p] for p in second]))


@given(st.lists(st.floats(0, 1), min_size=1), st.floats(0, 1))
def test_a_threshold_gives_the_second_class_at_and_above_it(second: list[float], threshold: float) -> None:
    labels = Decision(threshold=threshold).apply(binary(*second), signature("no", "yes"))
    assert labels.tolist() == ["yes" if p >= threshold else "no" for p in second]


@given(st.lists(st.floats(0, 1), min_size=1))
def test_without_a_threshold_the_most_probable_class_wins_and_the_first_on_a_tie(second: list[float]) -> None:
    scores = binary(*second)
    labels = Decision().apply(scores, signature(0, 1))
    assert labels.tolist() == np.argmax(scores.probabilities, axis=1).tolist()
    assert Decision().apply(binary(0.5), signature(0, 1)).tolist() == [0]


def test_many_classes_go_to_the_most_probable() -> None:
    scores = Scores(probabilities=np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]]))
    assert Decision().apply(scores, signature("a", "b", "c")).tolist() == ["b", "a"]


def test_a_regressor_answers_its_values() -> None:
    assert Decision().apply(Scores(values=np.array([1.5, -2.0])), signature()).tolist() == [1.5, -2.0]
    with pytest.raises(ValueError, match="neither"):
        Decision().apply(Scores(), signature())


@pytest.mark.parametrize("classes", [(0, 1), (0.0, 1.0), (False, True), ("0", "1")])
def test_labels_are_of_the_type_of_the_classes(classes) -> None:
    answered = Decision().apply(binary(0.9), signature(*classes)).tolist()
    assert answered == [classes[1]]
    assert type(answered[0]) is type(classes[1])


def test_labels_that_are_handed_out_cannot_be_changed_for_others() -> None:
    with pytest.raises(ValueError, match="read-only"):
        class_labels(signature(0, 1))[0] = 7


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_is_a_probability(threshold: float) -> None:
    with pytest.raises(ValidationError):
        Decision(threshold=threshold)


def test_a_threshold_is_for_two_classes() -> None:
    Decision(threshold=0.3).check(signature(0, 1))
    with pytest.raises(ValueError, match="binary"):
        Decision(threshold=0.3).check(signature("a", "b", "c"))
