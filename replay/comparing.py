"""Batches of logged rows through two versions, added up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

import numpy as np
import pyarrow.compute as pc

from inference.signature import Task
from monitoring.feature_table import SERVED_AT
from registry.versions import ModelVersion
from replay.calibration import Calibration
from replay.changed_decisions import LargestChanges
from replay.errors import NotComparableError
from replay.logged import Batch
from replay.pairs import Pairs
from replay.rescoring import NO_LABEL, Answers, Scorer, logged_answers, missing_columns, rescore

_CHECKED_ROWS: Final = 1_000
"""Rows of each version in the log that are scored anew to see that the same comes out."""
_EQUAL: Final = 1e-9
_MOST_DIFFERING: Final = 0.01
"""Share of the checked answers that may come out otherwise, of other libraries' doing; more are of other files."""
_CLOCKS: Final = timedelta(minutes=1)
"""How far the registry's clock may go before that of the worker."""


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
        for part in self._by_author(batch):
            self._add(part)

    def check(self) -> None:
        """Refuse a log whose answers are not those of the versions that have their numbers now.

        Raises:
            NotComparableError: More than a few came out otherwise when they were scored anew.
        """
        checked = sum(self.checked.values())
        if self.differing > _MOST_DIFFERING * checked:
            raise NotComparableError(
                f"{self.differing:,} of {checked:,} logged answers that were scored anew are not those of the "
                f"versions that are registered as {self.challenger.version} and {self.against.version}: look at "
                "what changed in their files or libraries, or take a window since then"
            )

    def _by_author(self, batch: Batch) -> Iterator[Batch]:
        """Yield a batch; apart, and as nobody's, rows from before the version was made that has the number now."""
        made = {one.number: one.version.created_at for one in (self.challenger, self.against)}.get(batch.version)
        served = batch.table.column(SERVED_AT)
        if made is None or pc.min(served).as_py() >= made - _CLOCKS:
            yield batch
            return
        is_own = np.array([time >= made - _CLOCKS for time in served.to_pylist()], np.bool_)
        yield replace(batch.take(np.flatnonzero(~is_own)), version="")
        if is_own.any():
            yield batch.take(np.flatnonzero(is_own))

    def _add(self, batch: Batch) -> None:
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
