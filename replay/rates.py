"""Rates of both versions on the same rows, by group: what the verdicts are about, in plain numbers. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from replay.evidence import observed
from replay.pairs import ALL, Alike, Pairs
from replay.result import GroupRates
from rollout.evidence import Cell
from rollout.guardrail import Guardrail, Metric
from rollout.observations import FPR, TPR, observation

_NONE = Cell(0, 0.0, 0.0)


def group_rates(pairs: Pairs, positive: Any) -> list[GroupRates]:
    """Return the rates over all rows, then of each group of each attribute."""
    found = [_rates(pairs, *ALL, pairs.counts[ALL], positive)]
    for attribute in pairs.attributes:
        for group, counts in sorted(pairs.groups(attribute).items()):
            found.append(_rates(pairs, attribute, group, counts, positive))
    return found


def _rates(pairs: Pairs, attribute: str, group: str, counts: Counter[Alike], positive: Any) -> GroupRates:
    sums: tuple[dict[str, Cell], dict[str, Cell]] = ({}, {})
    labelled = 0
    for alike, rows in counts.items():
        challenger, against = observed(pairs, alike)
        labelled += rows * (against.outcome is not None)
        for cells, row in zip(sums, (against, challenger), strict=True):
            for name, guardrail in _guardrails(positive):
                seen = observation(guardrail, row)
                if seen is not None:
                    key = seen.part or name
                    cells[key] = cells.get(key, _NONE) + Cell(rows, rows * seen.value, 0.0)
    return GroupRates(
        attribute=attribute,
        group=group,
        rows=counts.total(),
        labelled=labelled,
        selection_rate=_pair(sums, "selected"),
        accuracy=_pair(sums, "right"),
        true_positive_rate=_pair(sums, TPR),
        false_positive_rate=_pair(sums, FPR),
    )


def _guardrails(positive: Any) -> Iterator[tuple[str, Guardrail]]:
    yield "selected", Guardrail(metric=Metric.SELECTION_RATE, margin=1.0, positive=positive)
    yield "right", Guardrail(metric=Metric.ACCURACY, margin=1.0, positive=positive)
    yield "", Guardrail(metric=Metric.EODDS_DIFF, margin=1.0, attribute="group", positive=positive)


def _pair(sums: tuple[dict[str, Cell], dict[str, Cell]], name: str) -> tuple[float | None, float | None]:
    against, challenger = (cells.get(name, _NONE) for cells in sums)
    return tuple(cell.total / cell.n if cell.n else None for cell in (against, challenger))  # type: ignore[return-value]
