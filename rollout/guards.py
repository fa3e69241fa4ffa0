"""What an evaluation must show before a rollout goes on from a step."""

from __future__ import annotations

from collections.abc import Iterator

from rollout.coverage import expected_shares
from rollout.evaluating import Evaluation, deciding_arms
from rollout.evidence import PAIRED
from rollout.guardrail import Guardrail, Stage, Verdict
from rollout.plan import Plan


def missing(plan: Plan, step: int, evaluation: Evaluation, *, for_the_end: bool = False) -> list[str]:
    """Return what the verdicts lack for leaving a step, in words; durations and approvals are not among it.

    `for_the_end` asks what they lack for being promoted from it at once.
    """
    found = [*_too_few_units(plan, step, evaluation), *_unmeasured(plan, step, evaluation)]
    for guardrail in plan.guardrails:
        if (for_the_end and guardrail.required) or must_pass(plan, step, guardrail):
            found += _not_passed(plan, step, guardrail, evaluation, for_the_end=for_the_end)
    return list(dict.fromkeys(found))


def granted(plan: Plan, step: int, lacking: list[str]) -> str:
    """Return on what grounds a step is left, in spite of what it lacks."""
    if lacking:
        return f"in spite of: {'; '.join(lacking)}"
    asked = [one for one in plan.guardrails if must_pass(plan, step, one) and deciding_arms(plan, step, one)]
    passed = sorted(one.name for one in asked)
    return f"passed: {', '.join(passed)}" if passed else "no guardrail is violated"


def must_pass(plan: Plan, step: int, guardrail: Guardrail) -> bool:
    """Return whether a guardrail must have passed before a step is left.

    Before the first soak all that are required and need no outcomes, at the very end all that are required. The
    soak, beside its holdback, is where outcomes are waited for; a step with `all_passed` waits for them itself.
    """
    if not guardrail.required:
        return False
    current = plan.steps[step]
    following = plan.steps[step + 1].mode if step + 1 < len(plan.steps) else None
    is_fast = guardrail.counted is Stage.FAST
    if current.advance_when == "all_passed" or following is None:
        return True
    return is_fast and (current.advance_when == "fast_passed" or following == "soak")


def _not_passed(
    plan: Plan, step: int, guardrail: Guardrail, evaluation: Evaluation, *, for_the_end: bool
) -> Iterator[str]:
    found = {one.arm: one for one in evaluation.judgements if one.guardrail == guardrail.name}
    deciding = deciding_arms(plan, step, guardrail)
    if not deciding and (for_the_end or plan.steps[step + 1].mode == "soak"):
        yield f"{guardrail.name} cannot be measured on shadow traffic"
    for arm in deciding:
        one = found.get(arm)
        verdict = Verdict.NO_DATA if one is None else one.verdict
        if verdict is not Verdict.PASSED:
            yield f"{guardrail.name} of the {arm} has not passed ({verdict.replace('_', ' ')})"


def _unmeasured(plan: Plan, step: int, evaluation: Evaluation) -> Iterator[str]:
    """Yield what failed to be measured, and what is violated and was let go on: neither is success."""
    arms = {one.name: deciding_arms(plan, step, one) for one in plan.guardrails}
    stages = {one.name: one.counted for one in plan.guardrails if one.on_violation != "warn"}
    for one in evaluation.judgements:
        if one.arm not in arms.get(one.guardrail, ()):
            continue
        is_silent = one.verdict is Verdict.NO_DATA and stages.get(one.guardrail) is Stage.FAST
        if one.verdict is Verdict.ERROR or is_silent:
            yield f"{one.guardrail} of the {one.arm} has not been measured ({one.verdict.replace('_', ' ')})"
        if one.verdict is Verdict.VIOLATED and one.guardrail in stages:
            yield f"{one.guardrail} of the {one.arm} is violated"


def _too_few_units(plan: Plan, step: int, evaluation: Evaluation) -> Iterator[str]:
    current = plan.steps[step]
    needed = current.min_units
    for arm in (PAIRED,) if current.mode == "shadow" else expected_shares(plan, current):
        if (there := evaluation.units.get(arm, 0)) < needed:
            yield f"the {arm} has {there:,} of the {needed:,} units it needs"
