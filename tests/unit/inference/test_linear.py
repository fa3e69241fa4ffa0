"""Linear runtimes: sums of table entries and products, whatever the size of the batch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from inference.linear import LinearRuntime, Link
from inference.preprocessing import CategoryBlock, NumberBlock, Operation

STEPS = ((Operation.SUBTRACT, 40.0), (Operation.DIVIDE, 10.0))


def runtime(link: Link = Link.LOGISTIC) -> LinearRuntime:
    return LinearRuntime(
        numbers=(NumberBlock("age", 0, STEPS, missing=0.5),),
        weights=np.array([[2.0]]),
        categories=(CategoryBlock("city", 1, ("Bonn", "Ulm"), np.array([[1.0], [-1.0], [0.25], [3.0]])),),
        intercept=np.array([0.125]),
        link=link,
    )


def columns(ages: list[float], cities: list[str | None]) -> dict[str, np.ndarray]:
    return {"age": np.array(ages), "city": np.array(cities, dtype=object)}


def test_the_score_is_the_sum_of_its_parts() -> None:
    given_columns = columns([50.0, np.nan, 40.0, 30.0], ["Bonn", "Ulm", "Jena", None])
    scores = runtime(Link.IDENTITY).run(given_columns, 4).values
    np.testing.assert_array_equal(scores, [2 + 1 + 0.125, 1 - 1 + 0.125, 0 + 0.25 + 0.125, -2 + 3 + 0.125])


@given(st.lists(st.tuples(st.floats(-1e300, 1e300), st.sampled_from(["Bonn", "Ulm", "", None])), min_size=1))
def test_probabilities_are_the_logistic_of_the_score_alone_and_in_a_batch(rows) -> None:
    ages, cities = [row[0] for row in rows], [row[1] for row in rows]
    batch = columns(ages, cities)
    probabilities = runtime().run(batch, len(rows)).probabilities
    scores = runtime(Link.IDENTITY).run(batch, len(rows)).values
    np.testing.assert_allclose(probabilities[:, 1], expit(scores), rtol=1e-12)
    np.testing.assert_array_equal(probabilities.sum(axis=1), 1.0)
    alone = runtime().run(columns(ages[:1], cities[:1]), 1).probabilities
    np.testing.assert_array_equal(alone, probabilities[:1])


def test_a_softmax_of_large_scores_is_finite() -> None:
    table = np.array([[1e6, 0.0, -1e6]] * 3)
    model = LinearRuntime(
        numbers=(),
        weights=np.empty((0, 3)),
        categories=(CategoryBlock("city", 0, ("Bonn",), table),),
        intercept=np.zeros(3),
        link=Link.SOFTMAX,
    )
    assert model.classes == 3
    assert model.run({"city": np.array(["Bonn"], dtype=object)}, 1).probabilities.tolist() == [[1.0, 0.0, 0.0]]


def test_a_model_of_numbers_only_and_one_of_an_intercept_only_work() -> None:
    bare = LinearRuntime(
        numbers=(), weights=np.empty((0, 1)), categories=(), intercept=np.array([2.5]), link=Link.IDENTITY
    )
    assert bare.run({}, 1).values.tolist() == [2.5]
    assert bare.run({}, 3).values.tolist() == [2.5] * 3


@pytest.mark.parametrize("weights", [np.ones((2, 1)), np.ones((1, 2)), np.ones((0, 1))])
def test_parts_that_do_not_fit_are_refused(weights) -> None:
    with pytest.raises(ValueError, match="differ"):
        LinearRuntime(
            numbers=(NumberBlock("age", 0),),
            weights=weights,
            categories=(),
            intercept=np.ones(1),
            link=Link.LOGISTIC,
        )


def test_a_link_of_one_score_refuses_two() -> None:
    with pytest.raises(ValueError, match="one score"):
        LinearRuntime(numbers=(), weights=np.ones((0, 2)), categories=(), intercept=np.ones(2), link=Link.LOGISTIC)
