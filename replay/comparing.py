"""Batches of logged rows through two versions, added up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from inference.signature import Task
from registry.versions import ModelVersion
from replay.calibration import Calibration
from replay.changed_decisions import LargestChanges
from replay.logged import Batch
from replay.pairs import Pairs
from replay.rescoring import NO_LABEL, Answers, Scorer, logged_answers, missing_columns, rescore

_CHECKED_ROWS: Final = 1_000
"""Rows of each version in the log that are scored anew to see that the same comes out."""
_EQUAL: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Contender:
    """A version that is compared, ready to answer."""

    version: ModelVersion
    scorer: Scorer

    @property
    def number(self) -> str:
        """Its number, as the log names it."""
        return self.version.version


@dataclass(slots=True)
class Comparison:
    """What two versions make of the same rows, and how many rows could be asked.

    `positives` are the labels of which scores are taken for probabilities, for the losses.
    """

    challenger: Contender
    against: Contender
    positives: Sequence[Any] = ()
    pairs: Pairs = field(default_factory=Pairs)
    changes: LargestChanges = field(default_factory=LargestChanges)
    calibration: tuple[Calibration, Calibration] = field(default_factory=lambda: (Calibration(), Calibration()))
    """Of the version compared with, and of the challenger."""
    unscored: int = 0
    rescored: int = 0
    refused: int = 0
    checked: dict[str, int] = field(default_factory=dict)
    differing: int = 0

    def add(self, batch: Batch) -> None:
        """Score a batch and count it."""
        contenders = (self.challenger, self.against)
        if any(missing_columns(one.scorer.signature, batch.table.schema) for one in contenders):
            self.unscored += len(batch.ids)
            return
        for one in contenders:
            if batch.version == one.number:
                self._check(batch, one)
        labels = self.pairs.labels
        is_logged = batch.version == self.against.number
        theirs = (
            logged_answers(batch.table, labels) if is_logged else rescore(self.against.scorer, batch.table, labels)
        )
        ours = rescore(self.challenger.scorer, batch.table, labels)
        if theirs.refused.any():
            places = np.flatnonzero(~theirs.refused)
            self.unscored += len(batch.ids) - len(places)
            batch, ours, theirs = batch.take(places), ours.take(places), theirs.take(places)
        self.rescored += 0 if is_logged else len(batch.ids)
        self.refused += int(ours.refused.sum())
        self._count(batch, theirs, ours)

    def _count(self, batch: Batch, theirs: Answers, ours: Answers) -> None:
        labels, signature = self.pairs.labels, self.challenger.scorer.signature
        outcomes = labels.codes(batch.outcomes)
        self.pairs.add(theirs, ours, is_due=batch.is_due, outcomes=outcomes, attributes=batch.attributes)
        for label in self.positives:
            self.pairs.add_losses(theirs, ours, is_due=batch.is_due, outcomes=outcomes, positive=label)
        if signature.task is not Task.BINARY:  # of other classifiers the score is that of whatever was answered
            return
        self.changes.add(batch.ids, theirs, ours, labels.names)
        known = batch.is_due & (outcomes != NO_LABEL) & ~ours.refused
        is_positive = outcomes[known] == labels.code(signature.classes[1])
        for calibration, answers in zip(self.calibration, (theirs, ours), strict=True):
            calibration.add(answers.scores[known], is_positive)

    def _check(self, batch: Batch, contender: Contender) -> None:
        """Score some of a version's own rows anew, and count those whose logged answer is another one."""
        known = self.checked.get(contender.number, 0)
        table = batch.table.slice(0, max(_CHECKED_ROWS - known, 0))
        if not table.num_rows:
            return
        labels = self.pairs.labels
        logged, again = logged_answers(table, labels), rescore(contender.scorer, table, labels)
        close = np.isclose(logged.scores, again.scores, rtol=0, atol=_EQUAL, equal_nan=True)
        self.checked[contender.number] = known + table.num_rows
        self.differing += int((~close | (logged.labels != again.labels)).sum())
