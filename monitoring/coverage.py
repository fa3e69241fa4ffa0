"""How many predictions have an outcome, by variant and group, and how long outcomes take."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta
from statistics import median
from typing import Final

from sqlalchemy import Engine, select

from database.engine import reading
from fairness.groups import UNKNOWN, natural
from monitoring.tables import OUTCOME, PREDICTION
from monitoring.windows import WindowCounts, attributes_told

LATEST: Final = 1_000
"""Outcomes that the delay is the median of: those received last, of any model."""


class Covered:
    """How many predictions there are, and how many of them have an outcome."""

    def __init__(self) -> None:
        self.predictions = 0
        self.with_outcome = 0

    def count(self, n: int, *, has_outcome: bool) -> None:
        """Count predictions."""
        self.predictions += n
        self.with_outcome += n * has_outcome

    @property
    def ratio(self) -> float:
        """The share that has an outcome."""
        return self.with_outcome / self.predictions if self.predictions else 0.0


def coverage(window: WindowCounts) -> Covered:
    """Return the coverage of all predictions of a window."""
    covered = Covered()
    for alike, amount in window.counts.items():
        covered.count(amount.n, has_outcome=alike.has_outcome)
    return covered


def coverage_by_group(window: WindowCounts) -> dict[str, dict[str, Covered]]:
    """Return the coverage by protected attribute and group; rows without an attribute are its group "unknown"."""
    names = attributes_told(window)
    found: defaultdict[str, dict[str, Covered]] = defaultdict(dict)
    for alike, amount in window.counts.items():
        told = alike.attributes
        for name in names:
            group = (told.get(name) or "").strip() or UNKNOWN
            found[name].setdefault(group, Covered()).count(amount.n, has_outcome=alike.has_outcome)
    return {name: {group: groups[group] for group in sorted(groups, key=natural)} for name, groups in found.items()}


def outcome_delays(engine: Engine, model: str) -> Mapping[str, timedelta]:
    """Return, by variant, the median time from a prediction to its outcome, of the latest outcomes there are."""
    latest = select(OUTCOME).order_by(OUTCOME.c.id.desc()).limit(LATEST).subquery()
    wanted = select(PREDICTION.c.variant, PREDICTION.c.served_at, latest.c.received_at).where(
        PREDICTION.c.model == model, PREDICTION.c.variant.is_not(None)
    )
    by_id = wanted.join(latest, latest.c.prediction_id == PREDICTION.c.prediction_id)
    by_caller = wanted.join(
        latest, (latest.c.model == PREDICTION.c.model) & (latest.c.caller_id == PREDICTION.c.caller_id)
    )
    delays: defaultdict[str, list[float]] = defaultdict(list)
    with reading(engine) as connection:
        for statement in (by_id, by_caller):
            for variant, served_at, received_at in connection.execute(statement):
                delays[variant].append((received_at - served_at).total_seconds())
    return {variant: timedelta(seconds=median(found)) for variant, found in delays.items()}
