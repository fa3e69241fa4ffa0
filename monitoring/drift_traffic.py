"""The drift of a version's live traffic, from counts per hour: beside its profile, and beside the window before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from sqlalchemy import Engine

from monitoring.cells import EXTRAS
from monitoring.counted_window import CountedWindow, reference_window
from monitoring.drift import compare
from monitoring.drift_counts import read_window
from monitoring.drift_policy import DriftPolicy
from monitoring.drift_report import DriftAnswer, DriftReport, Reference, ReferenceKind
from monitoring.drift_statistics import Counts
from monitoring.estimation import Confusion, Estimate, calibrate, estimate
from monitoring.profile import CategoryProfile, ReferenceProfile, labels_of
from monitoring.refusals import refused_requests

_HOUR: Final = timedelta(hours=1)
_NO_PROFILE: Final = (
    "this version was registered without a reference profile: it is compared with the window before alone, and a "
    "change that was there from the beginning is not seen; train it again to give it one"
)
_NOT_COUNTED: Final = "nothing that this version answered has been counted in this window"
_NOT_ESTIMATED: Final = "performance without labels is estimated of binary classifiers with a registered profile"


@dataclass(frozen=True, slots=True)
class OutcomeCounts:
    """Rows whose outcome is known by now, additive: (prediction, outcome) to how many there are, both as JSON."""

    joint: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def vector(self, profile: CategoryProfile) -> Counts:
        """Return the outcomes as counts over the cells of a profile."""
        counts = np.zeros(profile.cells + EXTRAS, dtype=np.int64)
        places = {name: place for place, name in enumerate(profile.categories)}
        for (_, outcome), rows in self.joint.items():
            counts[places.get(outcome, profile.cells + 1)] += rows
        return counts

    def confusion(self, classes: tuple[str, str]) -> Confusion:
        """Return what became of the rows of two classes; positive is the second one."""
        first, second = classes
        return Confusion(
            tp=self.joint.get((second, second), 0),
            fp=self.joint.get((second, first), 0),
            tn=self.joint.get((first, first), 0),
            fn=self.joint.get((first, second), 0),
        )


def whole_hours(since: datetime, until: datetime) -> tuple[datetime, datetime]:
    """Return the window widened to the hours that rows are counted in."""
    since, until = since.astimezone(UTC), until.astimezone(UTC)
    start = since.replace(minute=0, second=0, microsecond=0)
    end = until.replace(minute=0, second=0, microsecond=0)
    return start, end if end == until and end > start else end + _HOUR


def traffic_drift(
    engine: Engine,
    model: str,
    version: str,
    *,
    since: datetime,
    until: datetime,
    variant: str | None = None,
    policy: DriftPolicy | None = None,
    outcomes: OutcomeCounts | None = None,
) -> DriftAnswer:
    """Return what is known of the hours that a window touches.

    Args:
        engine: The prediction log.
        model, version: What answered.
        since, until: The window; widened to whole hours. The window before it is as long.
        variant: The role that it answered in; all of them, and rows asked for by version, where it is left out.
        policy: What counts as drift.
        outcomes: What has become of the window's rows so far, where that is known.
    """
    since, until = whole_hours(since, until)
    refused = refused_requests(engine, model, since=since, until=until)
    before_since = since - (until - since)
    now = read_window(engine, model, version, since=since, until=until, variant=variant)
    if now is None or not now[1].rows:
        return DriftAnswer(
            model=model,
            model_version=version,
            variant=variant,
            since=since,
            until=until,
            rows=0,
            refused=refused,
            against_profile=None,
            against_previous=None,
            performance=None,
            performance_reason=_NOT_COUNTED,
            notes=(_NOT_COUNTED,),
        )
    profile, window = now
    window = _with_outcomes(profile, window, outcomes)
    before = read_window(engine, model, version, since=before_since, until=since, variant=variant)
    is_registered = profile.source == "registered"
    against_profile: DriftReport | None = None
    against_previous: DriftReport | None = None
    if is_registered:
        against_profile = compare(profile, reference_window(profile), window, policy, since=since, until=until)
    if before is not None and before[1].rows:
        of = Reference(kind=ReferenceKind.PREVIOUS_WINDOW, rows=before[1].rows, since=before_since, until=since)
        against_previous = compare(profile, before[1], window, policy, of=of, since=since, until=until)
    performance = estimated(profile, window, outcomes)
    return DriftAnswer(
        model=model,
        model_version=version,
        variant=variant,
        since=since,
        until=until,
        rows=window.rows,
        refused=refused,
        against_profile=against_profile,
        against_previous=against_previous,
        performance=performance,
        performance_reason="" if performance is not None else _NOT_ESTIMATED,
        notes=() if is_registered else (_NO_PROFILE,),
    )


def estimated(
    profile: ReferenceProfile, window: CountedWindow, outcomes: OutcomeCounts | None = None
) -> Estimate | None:
    """Return the performance of a window without its outcomes; None where the profile does not allow it."""
    calibration = None if profile.score is None else calibrate(profile.score)
    if calibration is None or window.scores is None or len(profile.classes) != 2:
        return None
    first, second = labels_of(profile.classes)
    realised = None if outcomes is None else outcomes.confusion((first, second))
    return estimate(calibration, window.scores, realised)


def _with_outcomes(
    profile: ReferenceProfile, window: CountedWindow, outcomes: OutcomeCounts | None
) -> CountedWindow:
    if outcomes is None or not outcomes.joint or not isinstance(profile.outcome, CategoryProfile):
        return window
    return replace(window, outcome=outcomes.vector(profile.outcome))
