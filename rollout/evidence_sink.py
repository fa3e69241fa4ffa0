"""Counts rows of rollouts as they are shipped, in the transaction that stores them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, Engine

from database.row_insert import RowInsert
from monitoring.exposure_records import BESIDE
from monitoring.rows import Rows
from monitoring.shadow_records import SHADOW_COLUMNS
from monitoring.tables import EXPOSURE, PREDICTION
from remotes.reported import is_of_another
from rollout.analysed_rows import Answers, Shown, analysed, bulk_attributes, known_attributes
from rollout.compared_units import ComparedUnits, Exposure, Step, unit_rows
from rollout.evidence_tables import ROLLOUT_PAIR
from rollout.evidence_tally import Count, EvidenceTally, KnownGroups, Where, guardrails_at
from rollout.guardrail import Stage
from rollout.observations import Observed, observation
from rollout.plan import Plan
from rollout.shadow_pairs import count_pairs

_EXPOSURE: Final = EXPOSURE.columns.keys()
_ID, _ROLLOUT, _UNIT = map(_EXPOSURE.index, ("prediction_id", "rollout_id", "unit_hash"))
_EPOCH, _COHORT, _SERVED_AT = map(_EXPOSURE.index, ("epoch", "cohort", "served_at"))
_STATUS, _LATENCY = map(_EXPOSURE.index, ("status", "latency_us"))
_SHADOW_ROLLOUT: Final = SHADOW_COLUMNS.index("rollout_id")
_ANSWER: Final = [PREDICTION.columns.keys().index(name) for name in ("status", "prediction", "score", "latency_us")]
_ANSWERED_BY: Final = PREDICTION.columns.keys().index("model_version")
_IS_REPEAT: Final = PREDICTION.columns.keys().index("is_repeat")

_WHAT: Final = {
    (is_new, is_completed): (Count.ASSIGNED,) * is_new + (Count.COMPLETED,) * is_completed
    for is_new in (False, True)
    for is_completed in (False, True)
}
"""What is counted of a unit, by whether it is new and whether it is completed."""


class EvidenceSink:
    """Keeps what rollouts decide on; told by the shipper of each record once.

    Of each unit one prediction is analysed (`rollout.compared_units`). It is counted in fast guardrails when it is
    answered, or known not to be; the unit of a row whose worker died stays assigned and not completed. Protected
    attributes are those known at that time. Records of models that are not split cost nothing.

    Args:
        engine: Of the connections that records are shown on.
        plan_of: Returns a rollout's plan; None: it is not analysed.
    """

    def __init__(self, engine: Engine, plan_of: Callable[[str], Plan | None]) -> None:
        self._plan_of = plan_of
        self._write_units = unit_rows(engine)
        self._insert_pairs = RowInsert(engine, ROLLOUT_PAIR)

    def shipped(self, connection: Connection, records: Sequence[Rows]) -> None:
        """Count records."""
        told = [record for record in records if record.exposures or record.shadows]
        if not told:
            return
        exposed: defaultdict[str, list[Shown]] = defaultdict(list)
        shadowed: defaultdict[str, list[Shown]] = defaultdict(list)
        for record in told:
            for row in record.exposures:
                exposed[row[_ROLLOUT] or ""].append((row, record))
            for row in record.shadows:
                shadowed[row[_SHADOW_ROLLOUT] or ""].append((row, record))
        tally = EvidenceTally()
        for rollout_id in sorted((exposed.keys() | shadowed.keys()) - {""}):
            plan = self._plan_of(rollout_id)
            if plan is None:
                continue
            if rollout_id in exposed:
                self._count(connection, tally, plan, rollout_id, exposed[rollout_id])
            if rollout_id in shadowed:
                pairs = count_pairs(connection, tally, plan, rollout_id, shadowed[rollout_id])
                self._insert_pairs(connection, pairs)
        tally.write(connection)

    def _count(
        self, connection: Connection, tally: EvidenceTally, plan: Plan, rollout_id: str, shown: Sequence[Shown]
    ) -> None:
        """Count the rows of compared cohorts."""
        rows = list(analysed(plan, shown, _UNIT))
        waits = bool(guardrails_at(plan, Stage.LABELLED))
        units = ComparedUnits(connection, plan, rollout_id, {key for key, _, _ in rows}, waits_for_outcome=waits)
        answers = Answers()
        steps: list[tuple[Step, tuple[Any, ...], tuple[Any, ...] | None, Rows]] = []
        for key, row, record in rows:
            answer = None if row[_STATUS] is None else answers.of(row[_ID], record)
            step = units.take(key, _exposure(row, answer))
            if step is not None:
                steps.append((step, row, answer, record))
        if rows:
            tally.saw(rollout_id, max(row[_SERVED_AT] for _, row, _ in rows))
        asked = [(row[_ID], row[_UNIT]) for _, row, _, _ in steps]
        own = bulk_attributes(record for *_, record in steps)
        attributes = known_attributes(connection, plan, asked, own)
        known, fast = KnownGroups(connection, plan, rollout_id), guardrails_at(plan, Stage.FAST)
        for step, row, answer, _ in steps:
            if step.is_crossed:
                tally.count(Where(rollout_id, row[_EPOCH], step.arm), [Count.CROSSED], {})
            groups = known.of(attributes.get(row[_ID], {}))
            what = _WHAT[step.is_new, step.is_completed]
            where = Where(rollout_id, step.epoch, step.arm)
            tally.count(where, what, groups)
            if step.is_completed:
                of = partial(observation, row=_observed(row, answer))
                tally.observe(where, fast, groups, of)
        self._write_units(connection, units.changed())


def _exposure(row: tuple[Any, ...], answer: tuple[Any, ...] | None) -> Exposure:
    is_repeat = answer is not None and bool(answer[_IS_REPEAT])
    return Exposure(row[_ID], row[_EPOCH], row[_COHORT], row[_SERVED_AT], row[_STATUS], is_repeat)


def _observed(row: tuple[Any, ...], answer: tuple[Any, ...] | None) -> Observed:
    if answer is not None and is_of_another(answer[_ANSWERED_BY]):
        # A remote server that changed under way: its answers are no evidence for or against the registered version.
        return Observed(BESIDE)
    if answer is None:
        return Observed(row[_STATUS], latency_us=row[_LATENCY])
    return Observed(*(answer[place] for place in _ANSWER))
