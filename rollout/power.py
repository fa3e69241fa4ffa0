"""How many units a guardrail needs before it can say anything: for plans that can pass, and none that cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from rollout.evidence import CHALLENGER, CONTROL, Cell, CellKey, Cells
from rollout.guardrail import Guardrail, Metric, Verdict
from rollout.judging import judge

MOST_UNITS: Final = 1_000_000_000
"""Where a guardrail that decides nothing stops being asked."""


def units_needed(
    guardrail: Guardrail,
    *,
    base_rates: Mapping[str, float] | float,
    effect: float,
    alpha: float,
    shares: Mapping[str, float] | None = None,
    spread: float = 1.0,
) -> int:
    """Return about how many units, in all compared cohorts, it takes until the guardrail passes or is violated.

    That many at which expected counts are just enough: half of all rollouts need more. `effect` is the true harm in
    the guardrail's units, 0 for an equal version: below the margin the units are those to pass, above it those to
    be violated. With `absolute` it is how much worse than `base_rates` the challenger is.

    `base_rates` are the control's rates, by group where the guardrail compares groups (the harm then befalls the
    second group, or any but the reference), or one for all; of a guardrail on a mean of measurements it is that
    mean and `spread` their standard deviation. `shares` are the groups' shares of the units that count, by
    default equal ones. Units are those that enter the statistics: with `eo_diff` those whose outcome is the
    positive one. `MOST_UNITS` where it takes more, or an effect equal to the margin decides nothing.
    """

    def decides(units: int) -> bool:
        cells = expected_cells(guardrail, units, base_rates, effect, shares=shares, spread=spread)
        found = judge(guardrail, cells, arm=CHALLENGER, alpha_rollback=alpha, alpha_promote=alpha)
        return found.verdict in (Verdict.PASSED, Verdict.VIOLATED)

    high = 64
    while not decides(high):
        high *= 2
        if high > MOST_UNITS:
            return MOST_UNITS
    low = high // 2
    while high - low > max(1, high // 500):
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    return high


def expected_cells(
    guardrail: Guardrail,
    units: int,
    base_rates: Mapping[str, float] | float,
    effect: float,
    *,
    shares: Mapping[str, float] | None = None,
    spread: float = 1.0,
) -> Cells:
    """Return the counts that so many units make expected, half of them in each arm; fractions of a yes included."""
    arms = (CHALLENGER, CONTROL) if guardrail.compare == "control" else (CHALLENGER,)
    groups = _groups(guardrail, base_rates)
    weights = {group: (shares or {}).get(group, 1 / len(groups)) for group in groups}
    parts = ("tpr", "fpr") if guardrail.metric is Metric.EODDS_DIFF else ("",)
    victim = next(group for group in list(groups)[1:] + list(groups)[:1] if group != guardrail.reference)
    cells = {}
    for arm in arms:
        for part in parts:
            for group, rate in groups.items():
                n = units * weights[group] / sum(weights.values()) / len(arms) / len(parts)
                hurt = arm == CHALLENGER and (group == victim or guardrail.metric is Metric.GROUP_ACCURACY_MIN)
                mean = _harmed(guardrail, rate, effect) if hurt else rate
                cells[CellKey(0, arm, part, group)] = _cell(guardrail, n, mean, spread)
    return cells


def _groups(guardrail: Guardrail, base_rates: Mapping[str, float] | float) -> dict[str, float]:
    if not guardrail.metric.compares_groups:
        rate = base_rates if isinstance(base_rates, int | float) else next(iter(base_rates.values()))
        return {"": float(rate)}
    if isinstance(base_rates, Mapping):
        return {group: float(rate) for group, rate in base_rates.items()}
    names = guardrail.groups or ((guardrail.reference, "other") if guardrail.reference else ("one", "other"))
    return dict.fromkeys(names, float(base_rates))


def _harmed(guardrail: Guardrail, rate: float, effect: float) -> float:
    if guardrail.metric is Metric.DP_RATIO:
        return float(rate * np.exp(-effect))
    if guardrail.metric.compares_groups:
        # A gap widens where the lower rate falls; where there is no room below, another rises.
        return rate - effect if rate >= effect else rate + effect
    return rate + effect if guardrail.worse == "increase" else rate - effect


def _cell(guardrail: Guardrail, n: float, mean: float, spread: float) -> Cell:
    if guardrail.metric in _MEASURED:
        return Cell(round(n), round(n) * mean, round(n) * (mean**2 + spread**2))
    total = round(n) * float(np.clip(mean, 0, 1))
    return Cell(round(n), total, total)


_MEASURED: Final = frozenset({Metric.LATENCY_LOGMEAN, Metric.LOG_LOSS, Metric.BRIER, Metric.MEAN_OUTCOME})
