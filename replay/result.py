"""What a replay found, as it is stored, answered and shown."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from rollout.guardrail import Guardrail, Verdict
from rollout.judging import Judgement

Label = bool | int | float | str | None


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Compared(_Frozen):
    """One of the two versions, pinned."""

    version: str
    digest: str | None


class Rows(_Frozen):
    """What became of the rows that the model answered in the window.

    `logged` is all of them, `archived` those with features. Of these `by_number` were asked of a version by its
    number, `overridden` had their variant chosen, `repeats` were sent before, `unknown` are no longer in the log,
    `later` are not the first of their unit, and `unscored` cannot be scored by both versions. `compared` is the
    rest, of which `without_unit` stand for themselves. Of these `rescored` were answered by a third version, so
    that the one compared with was asked anew, and `refused` have no answer of the challenger.

    `checked` rows that had an answer of one of the two versions were scored anew as well; `differing` is how many
    got another answer than is logged.
    """

    logged: int
    archived: int
    by_number: int
    overridden: int
    repeats: int
    unknown: int
    later: int
    unscored: int
    compared: int
    without_unit: int
    rescored: int
    refused: int
    checked: int
    differing: int


class Outcomes(_Frozen):
    """How many compared rows are old enough to have an outcome, and how many have one; `selective`: see notes."""

    maturity_seconds: float
    due: int
    known: int
    selective: bool


class GroupRates(_Frozen):
    """Rates of both versions on the same rows of a group, all rows where both names are empty; None: not known."""

    attribute: str
    group: str
    rows: int
    labelled: int
    selection_rate: tuple[float | None, float | None]
    accuracy: tuple[float | None, float | None]
    true_positive_rate: tuple[float | None, float | None]
    false_positive_rate: tuple[float | None, float | None]


class ChangedDecision(_Frozen):
    """`rows` of the `of` rows of a group whose decision changes from `before` to `after`."""

    attribute: str
    group: str
    before: Label
    after: Label
    rows: int
    of: int


class ScoreChange(_Frozen):
    """A row whose score changes much."""

    prediction_id: str
    before: Label
    after: Label
    score_before: float
    score_after: float


class Tenth(_Frozen):
    """Rows by tenth of a version's score: the mean score, and the share whose outcome is positive."""

    rows: int
    score: float | None
    share: float | None


class Calibrated(_Frozen):
    """How well a version's scores tell the share of positive outcomes; 0 is perfect. None: nothing is known."""

    error: float | None
    bias: float | None
    tenths: tuple[Tenth, ...]


class ReplayResult(_Frozen):
    """All that a replay found. Pairs of values are those of `against`, then those of the challenger."""

    id: str
    model: str
    challenger: Compared
    against: Compared
    since: datetime
    until: datetime
    created_at: datetime
    verdict: Verdict
    rows: Rows
    outcomes: Outcomes
    positive: Label
    planned: bool
    guardrails: tuple[Guardrail, ...]
    judgements: tuple[dict[str, Any], ...]
    left_out: dict[str, str]
    rates: tuple[GroupRates, ...]
    changed_decisions: tuple[ChangedDecision, ...]
    changes: tuple[ScoreChange, ...]
    calibration: tuple[Calibrated, Calibrated] | None
    notes: tuple[str, ...]

    def judged(self) -> tuple[Judgement, ...]:
        """Return the judgements as values."""
        return tuple(map(Judgement.from_dict, self.judgements))
