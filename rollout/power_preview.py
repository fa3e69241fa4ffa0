"""What a plan can show with the traffic there is: by the very verdicts to come, on the counts expected."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Final

from rollout.evidence import CHALLENGER, CONTROL, Cell, CellKey, Cells
from rollout.guardrail import Guardrail, Metric, Stage, Verdict
from rollout.guards import must_pass
from rollout.judging import Judgement, alphas, judge
from rollout.plan import Plan
from rollout.simulated_units import weights
from rollout.streams import Stream, harmed, measured
from rollout.traffic import Traffic

MOST_UNITS: Final = 50_000_000
"""Nobody waits for more units than these."""

_LEAST_UNITS: Final = 50
_CLOSE_ENOUGH: Final = 1.02
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Power:
    """What it takes to decide one guardrail, in units per arm and time.

    `to_pass` units let a challenger like the champion pass, `to_catch` let one violate that is worse by `harm`,
    twice what is bearable: with counts as they are expected, so that half of all rollouts need more. None: not even
    the most there could be. `available` are there, at the latest, when the plan asks for the verdict (`of_step`,
    from 0), `verdict` is what they say of a challenger like the champion, and `reason` why that is no verdict.
    """

    guardrail: str
    alpha: float
    harm: float
    to_pass: int | None
    time_to_pass: timedelta | None
    to_catch: int | None
    time_to_catch: timedelta | None
    available: int
    of_step: int
    verdict: Verdict
    reason: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-able values; times in seconds."""
        times = {"time_to_pass": self.time_to_pass, "time_to_catch": self.time_to_catch}
        return (
            asdict(self)
            | {"verdict": str(self.verdict)}
            | {name: None if time is None else time.total_seconds() for name, time in times.items()}
        )


def powers(plan: Plan, traffic: Traffic) -> list[Power]:
    """Return what it takes to decide each guardrail and goal, in the plan's order."""
    budget = alphas(plan)
    return [_power(plan, traffic, one, budget.get(one.name, plan.alpha_rollback)) for one in plan.watched]


def bearable(guardrail: Guardrail, streams: Sequence[Stream]) -> float:
    """Return how much worse than the champion a challenger may be: the margin, or what an absolute limit leaves.

    Negative where the champion itself is beyond the limit.
    """
    if guardrail.compare == "control":
        return guardrail.margin
    today = measured(guardrail, streams)
    if today is None:
        return guardrail.margin
    if guardrail.metric is Metric.DP_RATIO:  # whose harm is in units of ln ratio
        return math.log(today / guardrail.margin) if today > 0 and guardrail.margin > 0 else -math.inf
    return guardrail.margin - today if guardrail.worse == "increase" else today - guardrail.margin


def expected_cells(guardrail: Guardrail, champion: Sequence[Stream], effect: float, units: int) -> Cells:
    """Return the cells that so many units of each arm are expected to give."""
    challenger = harmed(guardrail, champion, effect)
    cells: dict[CellKey, Cell] = {}
    for arm, streams in ((CONTROL, champion), (CHALLENGER, challenger)):
        for one in streams:
            n = int(units * one.share)
            if n:
                total = n * one.mean
                squares = total if one.deviation is None else n * (one.deviation**2 + one.mean**2)
                cells[CellKey(0, arm, one.part, one.group)] = Cell(n, total, squares)
    return cells


def units_by(plan: Plan, traffic: Traffic, guardrail: Guardrail, step: int) -> int:
    """Return how many units per arm a guardrail has counted when a step ends at its `max_duration`, all before too.

    Arms of unequal size count as two equal ones that know as much. Of labelled guardrails only those count whose
    outcomes are due, and there.
    """
    end = sum((one.longest for one in plan.steps[: step + 1]), timedelta())
    until = end - plan.label_maturity if guardrail.counted is Stage.LABELLED else end
    arriving = _served(plan, traffic, step)
    return int(sum(rate * ((min(stop, until) - start) / _DAY) for rate, start, stop in arriving if start < until))


def time_until(plan: Plan, traffic: Traffic, guardrail: Guardrail, units: int) -> timedelta | None:
    """Return when so many units per arm were counted, if every step lasts as short as it may, but the last one.

    None where they never are.
    """
    left, now = float(units), timedelta()
    deadline = deciding_step(plan, guardrail)
    for index, step in enumerate(plan.steps[: deadline + 1]):
        rate = _rate(plan, traffic, index)
        if rate <= 0:
            now += step.min_duration
            continue
        shortest = max(step.min_duration, step.min_units / rate * _DAY)
        if index == deadline or left <= rate * (shortest / _DAY):
            now += left / rate * _DAY
            return now + (plan.label_maturity if guardrail.counted is Stage.LABELLED else timedelta())
        left -= rate * (shortest / _DAY)
        now += shortest
    return None


def deciding_step(plan: Plan, guardrail: Guardrail) -> int:
    """Return the index of the first served step that asks for a guardrail to have passed, else of the last."""
    served = [index for index, step in enumerate(plan.steps) if step.mode != "shadow"]
    asking = [index for index in served if must_pass(plan, index, guardrail)]
    return min(asking, default=len(plan.steps) - 1)


def _power(plan: Plan, traffic: Traffic, guardrail: Guardrail, alpha: float) -> Power:
    streams = traffic.streams.get(guardrail.name, ())
    harm = 2 * max(bearable(guardrail, streams), 0.0)
    step = deciding_step(plan, guardrail)
    available = units_by(plan, traffic, guardrail, step)

    def judged(units: int, effect: float) -> Judgement:
        cells = expected_cells(guardrail, streams, effect, units)
        return judge(guardrail, cells, arm=CHALLENGER, alpha_rollback=alpha, alpha_promote=plan.alpha_promote)

    to_pass = _fewest(lambda units: judged(units, 0.0).verdict is Verdict.PASSED)
    to_catch = _fewest(lambda units: judged(units, harm).verdict is Verdict.VIOLATED) if harm else None
    there = judged(available, 0.0)
    return Power(
        guardrail=guardrail.name,
        alpha=alpha,
        harm=harm,
        to_pass=to_pass,
        time_to_pass=None if to_pass is None else time_until(plan, traffic, guardrail, to_pass),
        to_catch=to_catch,
        time_to_catch=None if to_catch is None else time_until(plan, traffic, guardrail, to_catch),
        available=available,
        of_step=step,
        verdict=there.verdict,
        reason=there.reason,
    )


def _served(plan: Plan, traffic: Traffic, step: int) -> Iterator[tuple[float, timedelta, timedelta]]:
    """Yield how many units per arm and day arrive from when to when, if every step lasts as long as it may."""
    start = timedelta()
    for index, one in enumerate(plan.steps[: step + 1]):
        stop = start + one.longest
        yield _rate(plan, traffic, index), start, stop
        start = stop


def _rate(plan: Plan, traffic: Traffic, step: int) -> float:
    """Return a step's units per arm and day: those of two equal arms that know as much of a difference."""
    shares = weights(plan, plan.steps[step])
    if plan.steps[step].mode == "shadow":
        return 0.0
    control, least = shares[CONTROL], min(shares.values())
    return traffic.units_per_day * 2 / (1 / control + 1 / least) if least > 0 else 0.0


def _fewest(is_enough: Callable[[int], bool]) -> int | None:
    """Return the fewest units that are enough, to 2 %, where more are too; None beyond the most there could be."""
    high = _LEAST_UNITS
    while not is_enough(high):
        high *= 2
        if high > MOST_UNITS:
            return None
    low = high // 2
    while high / max(low, 1) > _CLOSE_ENOUGH:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high
