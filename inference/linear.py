"""Linear models: a sum of one table entry per category and one product per number.

The one-hot matrix never exists: a category's entry is its one-hot row times the model's coefficients, computed
when the model was compiled.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray

from inference.number_matrix import in_runs
from inference.preprocessing import Block, CategoryBlock, NumberBlock, describe, look_up, restore, softmax
from inference.row_layout import DecodedRows
from inference.runtime import EncodedColumns, Scores
from inference.stored import Stored

KIND = "linear"
_FEW_NUMBERS = 24  # of one row: plain floats are quicker up to here
_MOST_TERMS = 32_768  # of a matrix: more are no longer close to the processor, and quicker column by column


class Link(StrEnum):
    """From the linear score to the answer."""

    IDENTITY = "identity"  # a regressor of one or more values
    EXP = "exp"  # a regressor whose score is the logarithm of its value
    LOGISTIC = "logistic"  # two classes, one score
    SOFTMAX = "softmax"  # K classes, K scores
    ONE_VS_REST = "one_vs_rest"  # K classes, K scores: the logistic of each, divided by their sum


_SEVERAL = frozenset({Link.IDENTITY, Link.SOFTMAX, Link.ONE_VS_REST})


class LinearRuntime:
    """A generalised linear model over columns.

    Args:
        numbers: The number blocks, in the order of the rows of `weights`.
        weights: [numbers, K].
        categories: The category blocks; their tables hold scores, [n + 2, K].
        intercept: [K].
        link: K is 1 for exp and logistic, the number of values for identity, of classes for the others.
    """

    takes_texts = True

    def __init__(
        self,
        *,
        numbers: tuple[NumberBlock, ...],
        weights: NDArray[np.float64],
        categories: tuple[CategoryBlock, ...],
        intercept: NDArray[np.float64],
        link: Link,
    ) -> None:
        outputs = len(intercept)
        if weights.shape != (len(numbers), outputs) or any(b.table.shape[1] != outputs for b in categories):
            raise ValueError("weights, tables and intercept differ in their number of scores")
        if link not in _SEVERAL and outputs != 1:
            raise ValueError(f"the {link} link takes one score, not {outputs}")
        self._numbers, self._weights, self._intercept, self._link = numbers, weights, intercept, link
        self._blocks, self._runs = categories, in_runs(numbers)
        firsts = np.cumsum([0, *(len(block.table) for block in categories)])
        self._lookups = [(b.column, b.codes_from(int(f))) for b, f in zip(categories, firsts[:-1], strict=True)]
        tables = [block.table for block in categories]
        self._table = np.concatenate(tables) if tables else np.empty((0, outputs))
        # One row is the common request: plain floats beat eight numpy calls on arrays of one.
        self._entries: list[float] = self._table[:, 0].tolist()
        self._plain_weights: list[float] = weights[:, 0].tolist()
        self._constant = float(intercept[0])

    @property
    def blocks(self) -> tuple[Block, ...]:
        """What it makes of its columns."""
        return (*self._numbers, *self._blocks)

    @property
    def classes(self) -> int:
        """How many classes it gives probabilities for; 0 for a regressor."""
        return {Link.IDENTITY: 0, Link.EXP: 0, Link.LOGISTIC: 2}.get(self._link, len(self._intercept))

    def run(self, columns: EncodedColumns, rows: int) -> Scores:
        """Return the scores of `rows` rows."""
        if len(self._intercept) > 1 or self._link in {Link.SOFTMAX, Link.ONE_VS_REST}:
            return self._several(self._scores(columns, rows))
        if rows == 1:
            score = self._score_of_one(columns)
            if self._link is Link.LOGISTIC:
                return Scores(probabilities=np.array([_logistic_of_one(score)]))
            return Scores(values=self._values(np.array([score])))
        scores = self._scores(columns, rows)[:, 0]
        return (
            Scores(probabilities=_logistic(scores)) if self._link is Link.LOGISTIC else Scores(self._values(scores))
        )

    def _several(self, scores: NDArray[np.float64]) -> Scores:
        if self._link is Link.IDENTITY:
            return Scores(values=scores)
        if self._link is Link.SOFTMAX:
            return Scores(probabilities=softmax(scores))
        return Scores(probabilities=_one_vs_rest(scores))

    def _values(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        if self._link is Link.IDENTITY:
            return scores
        with np.errstate(over="ignore"):
            return np.exp(scores)

    def _score_of_one(self, columns: EncodedColumns) -> float:
        # The same additions in the same order as for many rows: a row's answer does not depend on its batch.
        entries, total, given = self._entries, 0.0, columns
        if type(columns) is DecodedRows and (self._lookups or len(self._numbers) <= _FEW_NUMBERS):
            given = columns.views()
        for name, lookup in self._lookups:
            total += entries[lookup[given[name].item()]]
        if len(self._numbers) > _FEW_NUMBERS:
            with np.errstate(over="ignore", invalid="ignore"):
                for places, matrix in self._runs:
                    for term in (matrix.features(columns)[:, 0] * self._weights[places, 0]).tolist():
                        total += term
            return total + self._constant
        for block, weight in zip(self._numbers, self._plain_weights, strict=True):
            total += block.feature(float(given[block.column].item())) * weight
        return total + self._constant

    def _scores(self, columns: EncodedColumns, rows: int) -> NDArray[np.float64]:
        codes = np.empty((len(self._lookups), rows), dtype=np.intp)
        for place, (name, lookup) in enumerate(self._lookups):
            codes[place] = look_up(lookup, columns[name])
        scores: NDArray[np.float64] = np.add.reduce(self._table.take(codes, axis=0), axis=0)
        with np.errstate(over="ignore", invalid="ignore"):
            if rows * self._weights.size <= _MOST_TERMS:
                scores = self._with_numbers(scores, columns)
            else:
                for block, weight in zip(self._numbers, self._weights, strict=True):
                    scores += block.features(columns[block.column])[:, np.newaxis] * weight
            scores += self._intercept
        return scores

    def _with_numbers(self, scores: NDArray[np.float64], columns: EncodedColumns) -> NDArray[np.float64]:
        for places, matrix in self._runs:
            features, weights = matrix.features(columns), self._weights[places]
            terms = np.empty((1 + len(features), *scores.shape))
            terms[0] = scores
            np.multiply(features[:, :, np.newaxis], weights[:, np.newaxis], out=terms[1:])
            scores = np.add.reduce(terms, axis=0)  # one after the other, as for a single row
        return scores

    def stored(self) -> Stored:
        """Return the runtime taken apart; `from_stored` is its inverse."""
        values, arrays = describe(self.blocks)
        parameters = {"link": self._link.value, "numbers": len(self._numbers), "blocks": values}
        return Stored(KIND, parameters, {**arrays, "weights": self._weights, "intercept": self._intercept})

    @classmethod
    def from_stored(cls, stored: Stored) -> Self:
        """Return the runtime.

        Raises:
            ValueError, KeyError, TypeError: Its parts do not fit together.
        """
        blocks = restore(stored.parameters["blocks"], stored.arrays)
        count = int(stored.parameters["numbers"])
        numbers = tuple(block for block in blocks[:count] if isinstance(block, NumberBlock))
        categories = tuple(block for block in blocks[count:] if isinstance(block, CategoryBlock))
        if len(numbers) + len(categories) != len(blocks):
            raise ValueError("numbers and categories are mixed up")
        return cls(
            numbers=numbers,
            weights=stored.arrays["weights"],
            categories=categories,
            intercept=stored.arrays["intercept"],
            link=Link(stored.parameters["link"]),
        )


def _logistic(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    probabilities = np.empty((len(scores), 2))
    probabilities[:, 1] = _sigmoid(scores)
    probabilities[:, 0] = 1.0 - probabilities[:, 1]
    return probabilities


def _sigmoid(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    small = np.exp(-np.abs(scores))  # never overflows
    return np.asarray(np.where(scores >= 0, 1.0, small) / (1.0 + small))


def _one_vs_rest(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    each = _sigmoid(scores)
    each[each.sum(axis=1) == 0.0] = 1.0  # far below zero for every class: scikit-learn calls them equally probable
    each /= each.sum(axis=1, keepdims=True)
    # The model decides by the scores: where two probabilities are equal, the last digit tells them apart.
    best = np.arange(len(scores)), scores.argmax(axis=1)
    tied = each >= each[best][:, np.newaxis]
    tied[best] = False
    each[tied] = np.nextafter(each[tied], 0.0)
    return each


def _logistic_of_one(score: float) -> tuple[float, float]:
    small = float(np.exp(-math.fabs(score)))  # numpy's exp, as for many rows: libm's may differ in the last digit
    probability = (1.0 if score >= 0 else small) / (1.0 + small)
    return 1.0 - probability, probability
