"""A plan tried out before it runs: rollouts of drawn counts, evaluated and decided as the controller does it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, Final

import numpy as np
from scipy.stats import binomtest

from rollout.decisions import Move, Progress, decide, errors_in_a_row
from rollout.errors import InvalidPlanError
from rollout.evaluating import Evaluation, evaluate
from rollout.guardrail import Verdict
from rollout.holds import kind_of, recovers
from rollout.plan import Plan
from rollout.simulated_units import SimulatedUnits
from rollout.states import ENDING, TERMINAL, State
from rollout.traffic import Traffic

BEGAN: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""When a simulated rollout is started."""

PROMOTED, ROLLED_BACK, INCONCLUSIVE = "promoted", "rolled_back", "inconclusive"
"""How a simulated rollout ends. Inconclusive: it is held for a person, or its time is over."""

SPACING: Final = 0.5
"""How much longer a step has lasted at a look than at the one before, as a part of it."""

_FIRST_LOOK: Final = 0.25
"""When a step is first looked at, as a part of its shortest duration."""
_CONFIDENCE: Final = 0.95
_GRACE: Final = timedelta(days=1)

Evaluate = Callable[..., Evaluation]


@dataclass(frozen=True, slots=True)
class Look:
    """One evaluation of a simulated rollout, and what was decided by it."""

    at: datetime
    progress: Progress
    evaluation: Evaluation
    move: Move | None


@dataclass(frozen=True, slots=True)
class Run:
    """How one simulated rollout ended, after how long, and by what: a guardrail's name or the kind of a hold."""

    end: str
    by: str
    after: timedelta
    step: int


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """How many rollouts ended in which way."""

    plan: Plan
    effects: Mapping[str, float]
    runs: tuple[Run, ...] = field(repr=False)

    def count(self, end: str) -> int:
        """Return how many ended so."""
        return sum(run.end == end for run in self.runs)

    def share(self, end: str) -> float:
        """Return the share that ended so."""
        return self.count(end) / len(self.runs)

    def interval(self, end: str) -> tuple[float, float]:
        """Return the 95 % Clopper-Pearson interval of that share: what more runs could show."""
        found = binomtest(self.count(end), len(self.runs)).proportion_ci(_CONFIDENCE, method="exact")
        return float(found.low), float(found.high)

    def median_time(self, end: str) -> timedelta | None:
        """Return the median time until such an end; None where there is none."""
        found = [run.after.total_seconds() for run in self.runs if run.end == end]
        return timedelta(seconds=median(found)) if found else None

    def by(self, end: str) -> dict[str, int]:
        """Return how many ended so by what, most frequent first."""
        return dict(Counter(run.by for run in self.runs if run.end == end).most_common())

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-able values; times in seconds."""
        return {
            "runs": len(self.runs),
            "effects": dict(self.effects),
            "ends": {end: self._told(end) for end in (PROMOTED, ROLLED_BACK, INCONCLUSIVE)},
        }

    def _told(self, end: str) -> dict[str, Any]:
        time = self.median_time(end)
        return {
            "count": self.count(end),
            "share": self.share(end),
            "interval": list(self.interval(end)),
            "median_seconds": None if time is None else time.total_seconds(),
            "by": self.by(end),
        }


def simulate(
    plan: Plan,
    traffic: Traffic,
    *,
    effects: Mapping[str, float] | None = None,
    runs: int = 200,
    seed: int = 0,
    spacing: float = SPACING,
    tell: Callable[[int], None] = lambda _: None,
    judged_by: Evaluate = evaluate,
) -> SimulationResult:
    """Return how rollouts of a plan would end.

    Args:
        plan: The plan; one with guardrails.
        traffic: What it meets.
        effects: By how much the challenger is worse, by a guardrail's name and in its own units; without one it is
            as good as the champion.
        runs: How many rollouts.
        seed: Of the draws: the same seed, the same result.
        spacing: A step is looked at when it has lasted this part longer than at the last look, or `eval_interval`,
            whichever is later. Verdicts hold at all times at once: with fewer looks they come later, no more.
        tell: Is called with 1 after each rollout.
        judged_by: What evaluates; another one is a negative control.

    Raises:
        InvalidPlanError: Nothing is judged, or an effect is of no guardrail of the plan.
    """
    if plan.is_manual:
        raise InvalidPlanError("a manual split has no guardrails: nothing would be decided, nothing is to simulate")
    effects = dict(effects or {})
    known = [one.name for one in plan.watched]
    unknown = sorted(effects.keys() - set(known))
    if unknown:
        raise InvalidPlanError(f"the plan has no guardrail '{unknown[0]}'; it has {', '.join(known)}")
    found = []
    for sequence in np.random.SeedSequence(seed).spawn(runs):
        units = SimulatedUnits(plan, traffic, effects, np.random.default_rng(sequence))
        found.append(run(plan, units, spacing=spacing, judged_by=judged_by))
        tell(1)
    return SimulationResult(plan, effects, tuple(found))


def run(
    plan: Plan,
    units: SimulatedUnits,
    *,
    spacing: float = SPACING,
    judged_by: Evaluate = evaluate,
    keep: Callable[[Look], None] = lambda _: None,
) -> Run:
    """Return how one rollout ends; `keep` is called with every look. Approvals are granted at once."""
    now = BEGAN
    progress = Progress(State.PENDING, 0, now, now)
    until = now + sum((step.longest for step in plan.steps), plan.label_maturity + _GRACE)
    while now <= until:
        evaluation = judged_by(plan, progress.step, units.evidence(), now, entered_at=progress.entered_at)
        move = decide(plan, progress, evaluation, now)
        keep(Look(now, progress, evaluation, move))
        progress = replace(progress, errors=errors_in_a_row(progress, evaluation))
        if move is not None:
            ended = _ended(plan, move, evaluation)
            if ended is not None:
                return Run(*ended, now - BEGAN, move.step)
            progress = _moved(progress, move, now)
        later = _next_look(plan, progress, now, spacing)
        units.pass_time(progress.step, now, later)
        now = later
    return Run(INCONCLUSIVE, "time", now - BEGAN, progress.step)


def _ended(plan: Plan, move: Move, evaluation: Evaluation) -> tuple[str, str] | None:
    """Return how a rollout ends and by what; a pause that nothing but a person ends is an end."""
    if move.to is State.PROMOTED:
        return PROMOTED, "all required"
    if move.to is State.ROLLED_BACK:  # at once, and not because of harm: an experiment that is over
        return INCONCLUSIVE, "time"
    if move.to in ENDING | TERMINAL:
        violated = {one.guardrail for one in evaluation.judgements if one.verdict is Verdict.VIOLATED}
        at_fault = [one.name for one in plan.guardrails if one.name in violated and one.on_violation == "rollback"]
        return ROLLED_BACK, at_fault[0] if at_fault else kind_of(move.reason)
    if move.to is State.PAUSED and not all(map(recovers, move.holds)):
        return INCONCLUSIVE, next(kind_of(hold) for hold in move.holds if not recovers(hold))
    return None


def _moved(progress: Progress, move: Move, now: datetime) -> Progress:
    is_pause = move.to is State.PAUSED
    resumed = progress.state is State.PAUSED
    keeps_time = is_pause or resumed or move.to is State.AWAITING_APPROVAL
    return replace(
        progress,
        state=move.to,
        step=move.step,
        entered_at=progress.entered_at if keeps_time else now,
        paused_from=progress.state if is_pause else None,
        resumes=is_pause,
        approved=move.to is State.AWAITING_APPROVAL,
    )


def _next_look(plan: Plan, progress: Progress, now: datetime, spacing: float) -> datetime:
    step = plan.steps[progress.step]
    elapsed = now - progress.entered_at
    later = now + max(plan.eval_interval, spacing * elapsed if elapsed else _FIRST_LOOK * step.min_duration)
    for edge in (progress.entered_at + step.min_duration, progress.entered_at + step.longest):
        if now < edge < later:
            return edge
    return later
