"""What pairs say of guardrails, as the evidence that rollouts are judged by. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from fairness.groups import UNKNOWN
from replay.pairs import ALL, Alike, Pairs
from rollout.evidence import CHALLENGER, PAIRED, Cell, CellKey, Cells, Evidence, UnitCount, UnitKey
from rollout.guardrail import Guardrail, Metric, Stage
from rollout.observations import OK, Observation, Observed, difference, observation
from rollout.plan import Plan

REFUSED = "refused"
"""The status of a row that the challenger's signature does not take."""
LOSSES = frozenset({Metric.BRIER, Metric.LOG_LOSS})


def evidence(plan: Plan, pairs: Pairs) -> Evidence:
    """Return the evidence on a plan's guardrails: differences on one row, or the challenger's own."""
    return Evidence(
        cells={one.name: cells(one, pairs) for one in plan.guardrails},
        units=_units(plan, pairs),
    )


def arm_of(guardrail: Guardrail) -> str:
    """Return the arm by which a replay judges a guardrail."""
    return CHALLENGER if guardrail.compare == "absolute" else PAIRED


def cells(guardrail: Guardrail, pairs: Pairs) -> Cells:
    """Return what a guardrail adds up: of what rollouts count of rows one by one, with how many rows are alike."""
    if guardrail.metric in LOSSES and guardrail.compare == "control":
        cell = pairs.losses.get((guardrail.metric, pairs.labels.code(guardrail.positive)))
        return {} if cell is None or not cell.n else {CellKey(0, PAIRED, "", ""): cell}
    found: defaultdict[CellKey, Cell] = defaultdict(lambda: Cell(0, 0.0, 0.0))
    for group, counts in _by_group(guardrail, pairs):
        for alike, rows in counts.items():
            if guardrail.counted is Stage.LABELLED and not alike.is_due:
                continue
            seen = _observed(guardrail, pairs, alike)
            if seen is not None:
                part, value = seen
                found[CellKey(0, arm_of(guardrail), part, group)] += Cell(rows, rows * value, rows * value * value)
    return dict(found)


def observed(pairs: Pairs, alike: Alike) -> tuple[Observed, Observed]:
    """Return what is known of a row by the challenger's answer, and by the other's; the outcome is both's."""
    outcome = pairs.label(alike.outcome) if alike.is_due else None
    ours, theirs = (
        Observed(OK if label is not None else REFUSED, label, outcome=outcome)
        for label in (pairs.label(alike.challenger), pairs.label(alike.against))
    )
    return ours, theirs


def _observed(guardrail: Guardrail, pairs: Pairs, alike: Alike) -> Observation | None:
    challenger, against = observed(pairs, alike)
    if guardrail.compare == "absolute":
        return observation(guardrail, challenger)
    return difference(guardrail, challenger, against)


def _by_group(guardrail: Guardrail, pairs: Pairs) -> Iterator[tuple[str, Counter[Alike]]]:
    if guardrail.attribute is None:
        yield "", pairs.counts[ALL]
    else:
        yield from pairs.groups(guardrail.attribute).items()


def _units(plan: Plan, pairs: Pairs) -> Mapping[UnitKey, UnitCount]:
    found: dict[UnitKey, UnitCount] = {}
    for arm in (PAIRED, CHALLENGER):
        found[UnitKey(0, arm, "", "")] = _count(pairs.counts[ALL])
        for attribute in plan.attributes:
            groups = pairs.groups(attribute) or {UNKNOWN: pairs.counts[ALL]}
            for group, counts in groups.items():
                found[UnitKey(0, arm, attribute, group)] = _count(counts)
    return found


def _count(counts: Counter[Alike]) -> UnitCount:
    rows = counts.total()
    due = sum(n for alike, n in counts.items() if alike.is_due)
    labelled = sum(n for alike, n in counts.items() if alike.is_due and alike.outcome >= 0)
    return UnitCount(assigned=rows, completed=rows, due=due, labelled=labelled)
