"""One simulated rollout as the report that a real one would have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from rollout.decisions import Move
from rollout.evaluations import StoredEvaluation
from rollout.history import Action, Event
from rollout.plan import Plan
from rollout.report_html import Chain, html
from rollout.rollouts import Rollout
from rollout.simulated_units import SimulatedUnits
from rollout.simulation import BEGAN, SPACING, Look, run
from rollout.states import ENDING, State
from rollout.traffic import Traffic

_ACTIONS: Final = {
    State.PAUSED: Action.PAUSED,
    State.AWAITING_APPROVAL: Action.APPROVAL_ASKED,
    State.PROMOTING: Action.PROMOTION_BEGUN,
    State.PROMOTED: Action.PROMOTED,
    State.ROLLING_BACK: Action.ROLLBACK_BEGUN,
    State.ROLLED_BACK: Action.ROLLED_BACK,
}
_WHO: Final = "simulation"
_NO_CHAIN: Final = Chain(is_whole=True, told="A simulation: nothing was served and nothing was logged.")


def simulated_report(
    plan: Plan,
    traffic: Traffic,
    *,
    effects: Mapping[str, float] | None = None,
    seed: int = 0,
    spacing: float = SPACING,
) -> str:
    """Return the HTML page of one simulated rollout; the same seed gives the same page."""
    looks: list[Look] = []
    units = SimulatedUnits(plan, traffic, dict(effects or {}), np.random.default_rng(seed))
    run(plan, units, spacing=spacing, keep=looks.append)
    evaluations = [_stored(number, look) for number, look in enumerate(looks, 1)]
    moved = [(look, look.move) for look in looks if look.move is not None]
    events = [_event(plan, look, move, number) for number, (look, move) in enumerate(moved, 1)]
    return html(_rollout(plan, events), plan, events, evaluations, now=looks[-1].at, chain=_NO_CHAIN)


def _stored(number: int, look: Look) -> StoredEvaluation:
    return StoredEvaluation(
        id=f"simulated-{number}",
        rollout_id=_WHO,
        number=number,
        at=look.at,
        state=str(look.progress.state),
        step=look.progress.step,
        evaluation=look.evaluation,
        inputs={},
        code_version=_WHO,
    )


def _event(plan: Plan, look: Look, move: Move, number: int) -> Event:
    is_first = look.progress.state is State.PENDING
    serving = 0.0 if move.to in ENDING else _weight(plan, move.step, move.to)
    return Event(
        number=number,
        action=Action.STARTED if is_first else _ACTIONS.get(move.to, Action.ADVANCED),
        state=str(move.to),
        weight=serving,
        actor=_WHO,
        at=look.at,
        reason=move.reason,
        from_state=str(look.progress.state),
        step=move.step,
    )


def _weight(plan: Plan, step: int, state: State) -> float:
    if state is State.PROMOTED:
        return 1.0
    if plan.steps[step].mode == "soak":
        return 1 - plan.holdback
    return plan.steps[step].weight_bp / 10_000


def _rollout(plan: Plan, events: list[Event]) -> Rollout:
    last = events[-1] if events else None
    made = Rollout(
        id=_WHO,
        model=plan.model,
        state=str(State.PENDING),
        version=len(events),
        champion_version="as serving",
        challenger_version=plan.challenger or "challenger",
        weight=0.0,
        reason=None,
        created_by=_WHO,
        created_at=BEGAN,
        finished_at=None,
    )
    if last is None:
        return made
    state = State.ROLLED_BACK if last.state == State.ROLLING_BACK else State(last.state)
    ended = last.at if state in {State.PROMOTED, State.ROLLED_BACK} else None
    return replace(made, state=str(state), weight=last.weight, reason=last.reason, finished_at=ended)
