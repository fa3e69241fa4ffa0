"""Rows that two versions scored, one for the caller and one for nobody: counted as differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, select

from monitoring.bulk_blocks import read_bulk_blocks
from monitoring.logged_rows import Attributes, in_chunks
from monitoring.shadow_records import SHADOW_COLUMNS
from monitoring.tables import PREDICTION
from rollout.analysed_rows import Shown, analysed, known_attributes
from rollout.evidence import PAIRED
from rollout.evidence_tables import ROLLOUT_PAIR
from rollout.evidence_tally import Count, EvidenceTally, KnownGroups, Where, guardrails_at
from rollout.guardrail import Stage
from rollout.observations import OK, Observed, difference
from rollout.plan import Plan

MISSING: Final = frozenset({"dropped", "overloaded"})
"""The status of rows that the challenger never got, since there was no room: they are missing, and no errors."""

_UNIT: Final = SHADOW_COLUMNS.index("unit_hash")
_KEPT: Final = ("champion_prediction", "champion_score", "challenger_prediction", "challenger_score")

Pair = Mapping[str, Any]
"""What is known of one row, by the names of `SHADOW_COLUMNS`."""


def count_pairs(
    connection: Connection,
    tally: EvidenceTally,
    plan: Plan,
    rollout_id: str,
    shown: Sequence[Shown],
) -> list[tuple[Any, ...]]:
    """Count the first row of each unit that was to be scored by both; return the new rows of `ROLLOUT_PAIR`."""
    rows = list(analysed(plan, shown, _UNIT))
    there = _known_units(connection, rollout_id, {key for key, _, _ in rows})
    repeats = _repeats(connection, {row[0] for key, row, _ in rows if key not in there})
    first: dict[str, Pair] = {}
    for key, row, _ in rows:
        pair: Pair = dict(zip(SHADOW_COLUMNS, row, strict=True))
        tally.saw(rollout_id, pair["served_at"])
        if key not in there and repeats.get(row[0]) is not True:
            first.setdefault(key, pair)
    asked = [(pair["prediction_id"], pair["unit_hash"]) for pair in first.values()]
    own = _of_blocks(connection, {id_ for id_, _ in asked} - repeats.keys()) if plan.attributes else {}
    attributes = known_attributes(connection, plan, asked, own)
    known = KnownGroups(connection, plan, rollout_id)
    fast, waits = guardrails_at(plan, Stage.FAST), bool(guardrails_at(plan, Stage.LABELLED))
    written = []
    for key, pair in first.items():
        id_, epoch, served_at, status = (pair[name] for name in ("prediction_id", "epoch", "served_at", "status"))
        is_scored = status not in MISSING
        groups = known.of(attributes.get(id_, {}))
        where = Where(rollout_id, epoch, PAIRED)
        tally.count(where, [Count.ASSIGNED] + [Count.COMPLETED] * is_scored, groups)
        if is_scored:
            challenger, champion = both_observed(pair)
            of = partial(difference, challenger=challenger, champion=champion)
            tally.observe(where, fast, groups, of)
        due_at = served_at + plan.label_maturity if waits and is_scored else None
        kept = [pair[name] if waits else None for name in _KEPT]
        written.append((rollout_id, key, epoch, id_, served_at, due_at, status, *kept))
    return written


def both_observed(pair: Pair, outcome: Any = None) -> tuple[Observed, Observed]:
    """Return what is known of a row by the challenger's answer, and by the champion's; the outcome is both's."""
    challenger, champion = (
        Observed(
            status,
            pair[f"{version}_prediction"],
            pair[f"{version}_score"],
            pair.get(f"{version}_latency_us"),
            outcome,
        )
        for version, status in (("challenger", pair["status"]), ("champion", OK))
    )
    return challenger, champion


def _known_units(connection: Connection, rollout_id: str, units: set[str]) -> set[str]:
    columns = ROLLOUT_PAIR.c
    known = select(columns.unit).where(columns.rollout_id == rollout_id)
    return {unit for (unit,) in in_chunks(connection, known, columns.unit, units)}


def _repeats(connection: Connection, ids: set[str]) -> dict[str, bool]:
    """Return of rows that stand by themselves in the log whether their callers had sent them before."""
    columns = PREDICTION.c
    logged = select(columns.prediction_id, columns.is_repeat)
    return {id_: bool(is_repeat) for id_, is_repeat in in_chunks(connection, logged, columns.prediction_id, ids)}


def _of_blocks(connection: Connection, ids: set[str]) -> dict[str, Attributes]:
    """Return what rows of bulk blocks say of themselves; their answers are logged before their pairs."""
    found: dict[str, Attributes] = {}
    blocks = read_bulk_blocks(connection, {id_.rpartition("-")[0] for id_ in ids})
    for block in (block for each in blocks.values() for block in each if block.protected is not None):
        named = zip(block.prediction_ids(), block.protected or (), strict=True)
        found.update({id_: own for id_, own in named if own and id_ in ids})
    return found
