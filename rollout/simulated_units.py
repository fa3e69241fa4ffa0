"""The evidence of a rollout that does not take place: counts of units and observations, drawn as time passes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from fairness.groups import UNKNOWN
from rollout.coverage import challenger_arms
from rollout.evidence import CONTROL, PAIRED, Cell, CellKey, Evidence, UnitCount, UnitKey
from rollout.guardrail import Guardrail, Metric, Stage
from rollout.plan import Plan
from rollout.steps import Step
from rollout.streams import Stream, harmed
from rollout.traffic import Traffic

_DAY: Final = timedelta(days=1)
_ALIKE: Final = 0.25
"""By how much two models' losses on one row differ, as a part of how much one model's losses do."""


@dataclass(frozen=True, slots=True)
class _Drawn:
    """One stream of one guardrail in one arm, ready to be drawn from: of its group's units a `share` gives one."""

    guardrail: str
    part: str
    group: str
    attribute: str
    share: float
    mean: float
    deviation: float | None
    up: float
    down: float
    """Of pairs: the chances that the challenger says yes and the champion no, and the other way round."""


@dataclass(slots=True)
class _Arrived:
    """Units of one arm and interval, by attribute and group; `due_at` is when their outcomes are looked for."""

    step: int
    arm: str
    due_at: datetime
    units: Mapping[tuple[str, str], int]


class SimulatedUnits:
    """Units that arrive by a plan's weights and are observed as the streams of its guardrails say.

    Units are independent of each other, and so are a unit's observations for different guardrails.
    """

    def __init__(
        self, plan: Plan, traffic: Traffic, effects: Mapping[str, float], generator: np.random.Generator
    ) -> None:
        self._plan, self._traffic, self._generator = plan, traffic, generator
        self._fast = {arm: list(self._streams(effects, arm, Stage.FAST)) for arm in self._arms()}
        self._labelled = {arm: list(self._streams(effects, arm, Stage.LABELLED)) for arm in self._arms()}
        self._waits = plan.has_labelled or any(one.counted is Stage.LABELLED for one in plan.goals)
        self._cells: dict[str, dict[CellKey, Cell]] = {one.name: {} for one in plan.watched}
        self._units: defaultdict[UnitKey, UnitCount] = defaultdict(UnitCount)
        self._pending: list[_Arrived] = []
        self._watermark: datetime | None = None

    def pass_time(self, step: int, since: datetime, until: datetime) -> None:
        """Let units arrive in a step, and outcomes of those that came before."""
        days = (until - since) / _DAY
        for arm, weight in weights(self._plan, self._plan.steps[step]).items():
            count = int(self._generator.poisson(self._traffic.units_per_day * days * weight))
            units = {("", ""): count} | dict(self._by_group(count))
            self._count_units(step, arm, units, UnitCount(1, 1))
            self._observe(step, arm, units, self._fast[arm])
            if self._waits:
                self._pending.append(_Arrived(step, arm, until + self._plan.label_maturity, units))
            self._watermark = until
        while self._pending and self._pending[0].due_at <= until:
            self._mature(self._pending.pop(0))

    def evidence(self) -> Evidence:
        """Return what an evaluation looks at."""
        return Evidence(self._cells, self._units, 0, self._watermark)

    def _arms(self) -> tuple[str, ...]:
        return (*challenger_arms(self._plan), CONTROL, PAIRED)

    def _streams(self, effects: Mapping[str, float], arm: str, stage: Stage) -> Iterator[_Drawn]:
        for guardrail in self._plan.watched:
            if guardrail.counted is not stage:
                continue
            champion = self._traffic.streams.get(guardrail.name, ())
            challenger = harmed(guardrail, champion, effects.get(guardrail.name, 0.0))
            for before, after in zip(champion, challenger, strict=True):
                yield self._drawn(guardrail, before, after, arm)

    def _drawn(self, guardrail: Guardrail, champion: Stream, challenger: Stream, arm: str) -> _Drawn:
        attribute, group = guardrail.attribute or "", champion.group
        of_group = self._traffic.groups.get(attribute, {}).get(group, 1.0) if attribute else 1.0
        one = champion if arm == CONTROL else challenger
        mean, deviation, up, down = one.mean, one.deviation, 0.0, 0.0
        if arm == PAIRED:
            mean = challenger.mean - champion.mean
            deviation = None if deviation is None else deviation * _ALIKE
            differ = max(self._traffic.disagreement, abs(mean))
            up, down = (differ + mean) / 2, (differ - mean) / 2
            if guardrail.metric is Metric.ERROR_RATE:  # only rows that the champion answered are scored beside
                up, down = challenger.mean, 0.0
        share = min(one.share / of_group, 1.0) if of_group else 0.0
        return _Drawn(guardrail.name, one.part, group, attribute, share, mean, deviation, up, down)

    def _by_group(self, count: int) -> Iterator[tuple[tuple[str, str], int]]:
        for attribute, shares in self._traffic.groups.items():
            chances = [*shares.values(), max(0.0, 1 - sum(shares.values()))]
            drawn = self._generator.multinomial(count, np.array(chances) / sum(chances))
            for group, number in zip((*shares, UNKNOWN), drawn.tolist(), strict=True):
                yield (attribute, group), number

    def _mature(self, arrived: _Arrived) -> None:
        units = arrived.units
        self._observe(arrived.step, arrived.arm, units, self._labelled[arrived.arm])
        whole = units["", ""]
        labelled = int(self._generator.binomial(whole, self._traffic.label_share))
        for (attribute, group), due in units.items():
            known = labelled if not attribute else round(due * labelled / whole) if whole else 0
            self._add_units(UnitKey(arrived.step, arrived.arm, attribute, group), UnitCount(0, 0, due, known))

    def _count_units(self, step: int, arm: str, units: Mapping[tuple[str, str], int], each: UnitCount) -> None:
        for (attribute, group), number in units.items():
            count = UnitCount(*(number * one for one in each))
            self._add_units(UnitKey(step, arm, attribute, group), count)

    def _add_units(self, key: UnitKey, more: UnitCount) -> None:
        before = self._units[key]
        self._units[key] = UnitCount(*(one + other for one, other in zip(before, more, strict=True)))

    def _observe(self, step: int, arm: str, units: Mapping[tuple[str, str], int], streams: list[_Drawn]) -> None:
        generator = self._generator
        for one in streams:
            n = units.get((one.attribute, one.group), 0)
            if one.share < 1:
                n = int(generator.binomial(n, one.share))
            if not n:
                continue
            cell = self._paired(one, n) if arm == PAIRED else self._single(one, n)
            cells, key = self._cells[one.guardrail], CellKey(step, arm, one.part, one.group)
            before = cells.get(key)
            cells[key] = cell if before is None else before + cell

    def _single(self, one: _Drawn, n: int) -> Cell:
        if one.deviation is not None:
            return self._quantities(one, n)
        yes = float(self._generator.binomial(n, one.mean))
        return Cell(n, yes, yes)

    def _paired(self, one: _Drawn, n: int) -> Cell:
        if one.deviation is not None:
            return self._quantities(one, n)
        up, down, _ = self._generator.multinomial(n, (one.up, one.down, 1 - one.up - one.down)).tolist()
        return Cell(n, float(up - down), float(up + down))

    def _quantities(self, one: _Drawn, n: int) -> Cell:
        """Return the sums of n normal values: their mean, and independent of it their scatter."""
        deviation = one.deviation or 0.0
        total = float(self._generator.normal(n * one.mean, deviation * n**0.5))
        scatter = deviation**2 * float(self._generator.chisquare(n - 1)) if n > 1 else 0.0
        return Cell(n, total, total**2 / n + scatter)


def weights(plan: Plan, step: Step) -> dict[str, float]:
    """Return the share of the units that each compared arm gets in a step."""
    match step.mode:
        case "shadow":
            return {PAIRED: step.sample}
        case "soak":
            return {challenger_arms(plan)[0]: plan.holdback, CONTROL: plan.holdback}
        case "canary":
            served = {arm: bp / 10_000 for arm, bp in zip(challenger_arms(plan), step.weights_bp, strict=False)}
            return {**served, CONTROL: max(served.values())}
