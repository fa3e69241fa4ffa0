"""The held-out evaluation as counts of scores, from which any threshold is measured without the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from fairness.counts import GroupCounts
from fairness.groups import Groups, encode
from fairness.report import measure_counts
from training.config import Label
from training.errors import DecisionError, ThresholdError
from training.evaluation import Measurements
from training.policy import Gates

EVALUATION_FILE = "evaluation.json"

_STEPS = 1_000
_EDGES = np.arange(_STEPS + 1) / _STEPS

Histogram = dict[int, int]
"""Bin k to the rows whose probability of the second class is in k/1000 <= p < (k+1)/1000; bin 1000 is p = 1."""

PerClass = tuple[Histogram, Histogram]
"""The rows whose true label is the first class, and those whose true label is the second."""


class ScoreCounts(BaseModel):
    """How often a binary classifier gave which probability on the held-out rows, and what its gates ask.

    It holds no rows: each protected attribute is counted by itself, beside the label and one of 1,001 bins of the
    probability, and no feature is kept. `quality` are the metrics that no threshold changes. Written into the
    version's `fairmind` folder, so the version's digest covers it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    classes: tuple[Label, Label]
    favourable: Label
    quality: dict[str, float]
    gates: Gates
    overall: PerClass
    groups: dict[str, dict[str, PerClass]]

    @model_validator(mode="after")
    def _check(self) -> Self:
        pairs = [self.overall, *(pair for groups in self.groups.values() for pair in groups.values())]
        counted = [histogram for pair in pairs for histogram in pair]
        if any(not 0 <= place <= _STEPS or rows < 0 for histogram in counted for place, rows in histogram.items()):
            raise ValueError("a bin is outside 0 to 1,000, or holds fewer than no rows")
        if not any(sum(histogram.values()) for histogram in self.overall):
            raise ValueError("no row was counted")
        if self.favourable not in self.classes:
            raise ValueError("the favourable label is none of the classes")
        return self

    def at(self, threshold: float) -> Measurements:
        """Return what would have been measured, had the model decided at `threshold`.

        It decides for its second class at the threshold and above. The numbers are those from the rows: a bin
        starts at the very number that a threshold is compared as.

        Raises:
            ThresholdError: the threshold is not one of 0, 0.001, ... 1.
        """
        step = threshold_step(threshold)
        confusion = _counts(self.overall, step, second_is_favourable=True)
        rows = confusion.rows
        bias = None
        if self.groups:
            second = self.favourable == self.classes[1]
            counted = {
                attribute: {name: _counts(pair, step, second_is_favourable=second) for name, pair in groups.items()}
                for attribute, groups in self.groups.items()
            }
            bias = measure_counts(
                counted, self.gates.bias_policy, alpha=self.gates.alpha, minimum_rows=self.gates.minimum_rows
            )
        accuracy = (confusion.tp + confusion.tn) / rows
        return Measurements(rows, {"accuracy": accuracy, **self.quality}, bias)

    def save(self, folder: Path) -> None:
        """Write the counts into `folder`, the version's `fairmind` folder."""
        (folder / EVALUATION_FILE).write_text(self.model_dump_json(), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, name: str) -> Self:
        """Return the counts in `folder`, the `fairmind` folder of the version called `name`.

        Raises:
            DecisionError: there are none, or they cannot be read.
        """
        try:
            return cls.model_validate_json((folder / EVALUATION_FILE).read_bytes())
        except FileNotFoundError as error:
            reason = "it came without the evaluation that its gates are measured on; train it again"
            raise DecisionError(name, reason) from error
        except (OSError, ValidationError) as error:
            raise DecisionError(name, f"its {EVALUATION_FILE} cannot be read; train it again") from error


def count_scores(
    probabilities: NDArray[np.float64],
    truth: NDArray[Any],
    protected: Mapping[str, Sequence[Any] | NDArray[Any]],
    *,
    classes: tuple[Label, Label],
    favourable: Label,
    quality: Mapping[str, float],
    gates: Gates,
) -> ScoreCounts:
    """Return the counts of N held-out rows.

    Args:
        probabilities: [N] of the second class.
        truth: [N] labels.
        protected: Attribute to its [N] values.
        classes: Both labels, in the order of the probabilities.
        favourable: The one that is good for the person.
        quality: What was measured; accuracy, which depends on the threshold, is left out.
        gates: What is asked of the version, and of every version made of it.

    Raises:
        UnusableGroupsError: an attribute cannot be read as groups.
    """
    # The comparison that a threshold is: bin k counts the edges that p >= edge holds for. Below 0 is only rounding.
    bins = np.maximum(np.searchsorted(_EDGES, probabilities, side="right") - 1, 0)
    second = np.asarray(truth == classes[1], dtype=np.bool_)
    everyone = Groups(np.zeros(len(bins), dtype=np.intp), ("",))
    return ScoreCounts(
        classes=classes,
        favourable=favourable,
        quality={name: value for name, value in quality.items() if name != "accuracy"},
        gates=gates,
        overall=_histograms(everyone, bins, second)[""],
        groups={
            attribute: _histograms(encode(attribute, values), bins, second)
            for attribute, values in protected.items()
        },
    )


def threshold_step(threshold: float) -> int:
    """Return a threshold in thousandths.

    Raises:
        ThresholdError: it is not one of 0, 0.001, ... 1.
    """
    if not 0.0 <= threshold <= 1.0 or round(threshold * _STEPS) / _STEPS != threshold:
        raise ThresholdError(threshold)
    return round(threshold * _STEPS)


def _histograms(groups: Groups, bins: NDArray[np.intp], second: NDArray[np.bool_]) -> dict[str, PerClass]:
    cell = (groups.codes * 2 + second) * (_STEPS + 1) + bins
    table = np.bincount(cell, minlength=len(groups.names) * 2 * (_STEPS + 1)).reshape(-1, 2, _STEPS + 1)
    return {name: (_sparse(table[code, 0]), _sparse(table[code, 1])) for code, name in enumerate(groups.names)}


def _sparse(counts: NDArray[np.intp]) -> Histogram:
    return {int(place): int(counts[place]) for place in np.flatnonzero(counts)}


def _counts(pair: PerClass, step: int, *, second_is_favourable: bool) -> GroupCounts:
    """Return the counts of a decision for the second class from bin `step` on; positive is the favourable class."""
    first_below, first_above = _halves(pair[0], step)
    second_below, second_above = _halves(pair[1], step)
    if second_is_favourable:
        return GroupCounts(tp=second_above, fp=first_above, tn=first_below, fn=second_below)
    return GroupCounts(tp=first_below, fp=second_below, tn=second_above, fn=first_above)


def _halves(histogram: Histogram, step: int) -> tuple[int, int]:
    above = sum(rows for place, rows in histogram.items() if place >= step)
    return sum(histogram.values()) - above, above
