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


def of_scores(link: Link, scores: list[list[float]]) -> LinearRuntime:
    """Return a model whose scores are a row of the table, by the name of a city."""
    table = np.array([*scores, scores[0], scores[0]])
    cities = tuple(str(place) for place in range(len(scores)))
    block = CategoryBlock("city", 0, cities, table)
    empty, zeros = np.empty((0, table.shape[1])), np.zeros(table.shape[1])
    return LinearRuntime(numbers=(), weights=empty, categories=(block,), intercept=zeros, link=link)


SCORES = st.lists(st.lists(st.floats(-1e30, 1e30) | st.floats(-50, 50), min_size=3, max_size=3), min_size=1)


@given(SCORES)
def test_one_versus_the_rest_is_the_share_of_the_logistics_and_decides_by_the_scores(scores) -> None:
    asked = {"city": np.array([str(place) for place in range(len(scores))], dtype=object)}
    probabilities = of_scores(Link.ONE_VS_REST, scores).run(asked, len(scores)).probabilities
    each = expit(np.array(scores))
    each[each.sum(axis=1) == 0] = 1.0
    np.testing.assert_allclose(probabilities, each / each.sum(axis=1, keepdims=True), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(probabilities.argmax(axis=1), np.argmax(scores, axis=1))


def test_a_regressor_gives_the_power_of_its_score_or_several_values() -> None:
    asked = {"city": np.array(["1", "0"], dtype=object)}
    power = of_scores(Link.EXP, [[0.0], [2.0]])
    np.testing.assert_array_equal(power.run(asked, 2).values, np.exp([2.0, 0.0]))
    np.testing.assert_array_equal(power.run({"city": asked["city"][:1]}, 1).values, np.exp([2.0]))
    several = of_scores(Link.IDENTITY, [[0.0, 1.0], [2.0, 3.0]])
    assert several.classes == power.classes == 0
    assert several.run(asked, 2).values.tolist() == [[2.0, 3.0], [0.0, 1.0]]
    assert several.run({"city": asked["city"][:1]}, 1).values.tolist() == [[2.0, 3.0]]


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
