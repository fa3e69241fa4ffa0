"""The reference profile of a model version: what its features, predictions, scores and outcomes looked like.

It holds counts and no rows; the smallest and the largest value of a number are kept, names of categories too.
Written into the version's `fairmind` folder when it is registered, so that the version's digest covers it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from monitoring.errors import ProfileDamagedError

PROFILE_FILE: Final = "profile.json"
SCORE_STEPS: Final = 1_000
"""Scores are counted in thousandths, as thresholds are set: bin k is k/1000 <= score < (k+1)/1000; 1000 is 1."""

Label = bool | int | float | str


class NumberProfile(BaseModel):
    """Counts of a number's values between ascending `edges`.

    Cell 0 is below the first edge, cell i from edge i-1 (included) to edge i, the last one from the last edge on.
    Where there were few distinct values, `values` are these, and each edge but the first value is one of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["number"] = "number"
    edges: tuple[float, ...]
    values: tuple[float, ...] | None = None
    counts: tuple[int, ...]
    missing: int
    minimum: float
    maximum: float

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.counts) != len(self.edges) + 1:
            raise ValueError("a number has a cell more than edges")
        if any(low >= high for low, high in zip(self.edges, self.edges[1:], strict=False)):
            raise ValueError("edges ascend")
        if self.values is not None and self.values[1:] != self.edges:
            raise ValueError("the edges of distinct values are these values")
        return self

    @property
    def cells(self) -> int:
        """Number of cells."""
        return len(self.counts)


class CategoryProfile(BaseModel):
    """Counts of the most frequent categories, and last of all others together.

    `rest` names those others; `is_open` says that there were too many of them to name, so that a new one cannot be
    told from them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["category"] = "category"
    categories: tuple[str, ...]
    rest: tuple[str, ...] = ()
    is_open: bool = False
    counts: tuple[int, ...]
    missing: int

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.counts) != len(self.categories) + 1:
            raise ValueError("categories have a cell each, and one for the rest")
        if len({*self.categories, *self.rest}) != len(self.categories) + len(self.rest):
            raise ValueError("a category is named twice")
        return self

    @property
    def cells(self) -> int:
        """Number of cells, with that of the rest."""
        return len(self.counts)


ColumnProfile = Annotated[NumberProfile | CategoryProfile, Field(discriminator="kind")]

ScoreHistogram = dict[int, int]
"""Bin to rows, see `SCORE_STEPS`; empty bins are left out."""


class ScoreProfile(BaseModel):
    """How often a binary classifier gave which probability of its second class, by what it then decided.

    `counts` are of the rows decided for the first and for the second class; `positives` are those among them whose
    true label is the second class, None where labels were not known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    counts: tuple[ScoreHistogram, ScoreHistogram]
    positives: tuple[ScoreHistogram, ScoreHistogram] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        histograms = [*self.counts, *(self.positives or ())]
        if any(not 0 <= place <= SCORE_STEPS or rows < 0 for each in histograms for place, rows in each.items()):
            raise ValueError("a bin is outside 0 to 1,000, or holds fewer than no rows")
        return self

    def at(self, step: int) -> ScoreProfile:
        """Return the profile of the same scores decided for the second class from bin `step` on."""
        return ScoreProfile(
            counts=_decided(self.counts, step),
            positives=None if self.positives is None else _decided(self.positives, step),
        )


class ReferenceProfile(BaseModel):
    """What live traffic of a version is compared with.

    `source` is `registered` for a profile that came with the version: features of the rows it was fitted on, and
    predictions, scores and outcomes of rows it had not seen, since on those it was fitted on a model is too sure of
    itself. A `live` profile was made of the first rows that a version without one answered: its cells are good for
    comparing one window with another, and it is no reference itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    source: Literal["registered", "live"]
    feature_rows: int
    scored_rows: int
    classes: tuple[Label, ...] = ()
    features: dict[str, ColumnProfile]
    prediction: ColumnProfile | None = None
    outcome: ColumnProfile | None = None
    score: ScoreProfile | None = None

    def at(self, step: int) -> ReferenceProfile:
        """Return the profile of a version that scores as this one and decides from `step` thousandths on."""
        if self.score is None or len(self.classes) != 2:
            return self
        score = self.score.at(step)
        shares = tuple(sum(histogram.values()) for histogram in score.counts)
        prediction = CategoryProfile(categories=labels_of(self.classes), counts=(*shares, 0), missing=0)
        return self.model_copy(update={"score": score, "prediction": prediction})

    def save(self, folder: Path) -> None:
        """Write the profile into `folder`, the version's `fairmind` folder."""
        (folder / PROFILE_FILE).write_text(self.model_dump_json(), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Return the profile in `folder`, the version's `fairmind` folder; None where it came without one.

        Raises:
            ProfileDamagedError: There is one, and it cannot be read.
        """
        try:
            return cls.model_validate_json((folder / PROFILE_FILE).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise ProfileDamagedError(str(folder / PROFILE_FILE)) from error


def labels_of(classes: tuple[Label, ...]) -> tuple[str, ...]:
    """Return classes as the log writes predictions: as JSON, so that 1, true and "1" differ."""
    return tuple(orjson.dumps(label).decode() for label in classes)


def _decided(pair: tuple[ScoreHistogram, ScoreHistogram], step: int) -> tuple[ScoreHistogram, ScoreHistogram]:
    both = {place: pair[0].get(place, 0) + pair[1].get(place, 0) for place in sorted({*pair[0], *pair[1]})}
    return (
        {place: rows for place, rows in both.items() if place < step},
        {place: rows for place, rows in both.items() if place >= step},
    )
