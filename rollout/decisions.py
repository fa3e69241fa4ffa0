"""What happens next to a rollout: a pure function of its plan, where it stands, and what an evaluation found.

Harm comes first, in every state that is not terminal, paused and awaiting approval among them. Then what holds it.
Then, only where nothing is against it, the next step; an approval is asked for last. A weight never rises on the
absence of evidence alone: the step's own guards must hold, and the required guardrails have passed at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from rollout.evaluating import Evaluation
from rollout.guardrail import Guardrail, Verdict
from rollout.guards import granted, missing
from rollout.holds import Hold, kind_of, told
from rollout.judging import Judgement
from rollout.plan import Plan
from rollout.states import ENDING, TERMINAL, State, state_of

FOLLOWED_AFTER: Final = timedelta(seconds=6)
"""When every worker follows a serving state: each looks again within a second, and one that cannot for 5 s serves
the champion alone."""

MAX_ERRORS: Final = 5
"""Evaluations in a row that failed, after which a rollout is rolled back: nobody watches it any more."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a rollout stands.

    `entered_at` is when its step, or a state that serves something else than the one before, was entered.
    `approved` says that somebody who may approved the step that it awaits, `overridden` that they knew what was
    missing. `errors` counts the evaluations in a row before this one that failed. `resumes` says that a pause is
    over once what held it recovered. `accepted` are kinds of holds that a person went on in spite of, in this step.
    """

    state: State
    step: int
    entered_at: datetime
    started_at: datetime
    paused_from: State | None = None
    approved: bool = False
    errors: int = 0
    resumes: bool = False
    accepted: frozenset[str] = frozenset()
    overridden: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """A change of state. `holds` are the holds that a pause is for."""

    to: State
    step: int
    reason: str
    holds: tuple[str, ...] = ()


def decide(plan: Plan, progress: Progress, evaluation: Evaluation, now: datetime) -> Move | None:
    """Return what happens now, None for nothing.

    A plan without guardrails is measured, and moved only to its end, where it has one. One with goals, or with
    several challengers, is never promoted by itself; harm ends it as any other.
    """
    state, step = progress.state, progress.step
    if state in TERMINAL:
        return None
    if state in ENDING:
        return end(progress, now)
    if plan.is_manual and state is not State.PENDING:
        return _over(plan, progress, now) if state is State.CANARY else None
    harm = next(_harms(plan, progress, evaluation), None)
    return _go_on(plan, progress, evaluation, now) if harm is None else Move(State.ROLLING_BACK, step, harm)


def errors_in_a_row(progress: Progress, evaluation: Evaluation) -> int:
    """Return how many evaluations in a row have failed, this one included."""
    failed = any(kind_of(hold) == Hold.ERROR for hold in evaluation.holds)
    return progress.errors + 1 if failed else 0


def _go_on(plan: Plan, progress: Progress, evaluation: Evaluation, now: datetime) -> Move | None:
    """Return what happens where nothing is harmful."""
    state, step = progress.state, progress.step
    if state is State.PENDING:
        return Move(state_of(plan.steps[0].mode), 0, "the challenger is ready to be served")
    holds = tuple(hold for hold in _holds(plan, evaluation) if kind_of(hold) not in progress.accepted)
    if state is State.PAUSED:
        return _resume(progress) if progress.resumes and not holds else None
    if state is State.PROMOTING:
        return _promoting(plan, progress, [*holds, *missing(plan, step, evaluation)], bool(holds), now)
    if holds:
        return Move(State.PAUSED, step, "; ".join(holds), holds)
    if state is State.AWAITING_APPROVAL:
        return _approved(plan, progress, evaluation)
    return _advance(plan, progress, evaluation, now)


def end(progress: Progress, now: datetime) -> Move | None:
    """Return what follows where the champion serves everybody already: the end, once every worker follows."""
    if progress.state is State.FAILED_SAFE:
        return Move(State.ROLLING_BACK, progress.step, "the controller failed; the champion serves everybody")
    if now - progress.entered_at < FOLLOWED_AFTER:
        return None
    return Move(State.ROLLED_BACK, progress.step, "every worker serves the champion")


def _harms(plan: Plan, progress: Progress, evaluation: Evaluation) -> Iterator[str]:
    for guardrail in plan.guardrails:
        if guardrail.on_violation == "rollback":
            yield from map(_violation, _violated(guardrail, evaluation))
    by_kind: dict[str, str] = {Hold.SRM: plan.on_srm, Hold.NO_DATA: plan.on_no_data}
    for hold in evaluation.holds:
        if by_kind.get(kind_of(hold)) == "rollback":
            yield hold
    errors = errors_in_a_row(progress, evaluation)
    if errors >= MAX_ERRORS:
        yield f"{errors} evaluations in a row failed"


def _holds(plan: Plan, evaluation: Evaluation) -> Iterator[str]:
    for guardrail in plan.guardrails:
        if guardrail.on_violation == "hold":
            for one in _violated(guardrail, evaluation):
                yield told(f"{Hold.VIOLATED} {guardrail.name}", _violation(one))
    yield from evaluation.holds


def _violated(guardrail: Guardrail, evaluation: Evaluation) -> Iterator[Judgement]:
    for one in evaluation.judgements:
        if one.guardrail == guardrail.name and one.verdict is Verdict.VIOLATED:
            yield one


def _violation(one: Judgement) -> str:
    bound = "" if one.lower is None else f", and is at least {one.lower:.4g} with the confidence asked for"
    estimate = "" if one.estimate is None else f" is {one.estimate:.4g}"
    return f"{one.guardrail} of the {one.arm}{estimate}{bound}; at most {one.margin:g} is bearable"


def _resume(progress: Progress) -> Move | None:
    back = progress.paused_from
    return None if back is None else Move(back, progress.step, "what held it has recovered")


def _promoting(plan: Plan, progress: Progress, lacking: list[str], is_held: bool, now: datetime) -> Move | None:
    """Return what follows once every worker follows what promoting serves: the soak, or the end.

    Without a soak nothing else was served meanwhile, and what speaks against the end now leads back to the step.
    """
    step = progress.step
    if now - progress.entered_at < FOLLOWED_AFTER:
        return None
    if plan.steps[step].mode == "soak":
        return Move(State.SOAK, step, "every worker follows")
    if is_held or (lacking and not progress.overridden):
        return Move(state_of(plan.steps[step].mode), step, f"not so any more: {'; '.join(lacking)}")
    return Move(State.PROMOTED, step, granted(plan, step, lacking))


def _approved(plan: Plan, progress: Progress, evaluation: Evaluation) -> Move | None:
    lacking = missing(plan, progress.step, evaluation)
    if not progress.approved or (lacking and not progress.overridden):
        return None
    return _next(plan, progress, f"approved; {granted(plan, progress.step, lacking)}")


def _advance(plan: Plan, progress: Progress, evaluation: Evaluation, now: datetime) -> Move | None:
    step, elapsed = plan.steps[progress.step], now - progress.entered_at
    if plan.ends_after is not None:
        return _over(plan, progress, now)
    if _next(plan, progress, "") is None:  # nothing that it could go on to: a person decides
        is_over = elapsed >= step.longest and Hold.INCONCLUSIVE not in progress.accepted
        return _run_out(plan, progress.step, "max_duration is over") if is_over else None
    lacking = missing(plan, progress.step, evaluation)
    if elapsed >= _shortest(plan, progress.step) and not lacking:
        if step.requires_approval and not progress.approved:
            return Move(State.AWAITING_APPROVAL, progress.step, "all but the approval is there")
        return _next(plan, progress, granted(plan, progress.step, lacking))
    if elapsed < step.longest or Hold.INCONCLUSIVE in progress.accepted or not lacking:
        return None
    return _run_out(plan, progress.step, f"max_duration is over and {'; '.join(lacking)}")


def _over(plan: Plan, progress: Progress, now: datetime) -> Move | None:
    """Return the end of what is over in time, at once: there is no harm that every worker must have left."""
    if plan.ends_after is None or now - progress.entered_at < plan.ends_after:
        return None
    kept = ", the result stays" if plan.goals else ""
    return Move(
        State.ROLLED_BACK, progress.step, f"max_duration is over: the champion serves every unit again{kept}"
    )


def _run_out(plan: Plan, step: int, words: str) -> Move:
    match plan.on_inconclusive:
        case "rollback":
            return Move(State.ROLLING_BACK, step, words)
        case "require_approval" if step + 1 < len(plan.steps) or plan.promotes:
            return Move(State.AWAITING_APPROVAL, step, words)
        case _:
            return Move(State.PAUSED, step, words, (told(Hold.INCONCLUSIVE, words),))


def _shortest(plan: Plan, step: int) -> timedelta:
    """Return how long a step lasts at least: the last soak until the outcomes of its first units are due, too."""
    wanted = plan.steps[step].min_duration
    is_last_soak = step == len(plan.steps) - 1 and plan.steps[step].mode == "soak"
    return max(wanted, plan.label_maturity) if is_last_soak and plan.has_labelled else wanted


def _next(plan: Plan, progress: Progress, reason: str) -> Move | None:
    """Return the move to what comes after the step; None after the last of what does not promote by itself."""
    after = progress.step + 1
    mode = plan.steps[progress.step].mode
    if after < len(plan.steps):
        following = plan.steps[after].mode
        if following == "soak":
            return None if not plan.promotes else _into_soak(mode, after, reason)
        return Move(state_of(following), after, reason)
    if not plan.promotes or mode == "shadow":
        return None
    return Move(State.PROMOTED if mode == "soak" else State.PROMOTING, progress.step, reason)


def _into_soak(mode: str, after: int, reason: str) -> Move:
    return Move(State.SOAK if mode == "soak" else State.PROMOTING, after, reason)
