"""Decisions: harm first, approval last, and a weight that never rises without all its guards."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.decisions import FOLLOWED_AFTER, MAX_ERRORS, Move, Progress, decide, errors_in_a_row
from rollout.guardrail import Verdict
from rollout.holds import Hold, told
from rollout.plan import Plan
from rollout.states import ACTIVE, ENDING, PAUSABLE, TERMINAL, State
from tests.unit.rollout.evaluations import NOW, found, guarded

HOUR = timedelta(hours=1)
SHADOW, FIRST, SECOND, SOAK = range(4)
OF_STEP = {SHADOW: State.SHADOW, FIRST: State.CANARY, SECOND: State.CANARY, SOAK: State.SOAK}
PLAN = guarded()
VIOLATED, PASSED, UNSURE = Verdict.VIOLATED, Verdict.PASSED, Verdict.INCONCLUSIVE


def at(state: State, step: int, age: timedelta = HOUR, **more: Any) -> Progress:
    return Progress(state=state, step=step, entered_at=NOW - age, started_at=NOW - age, **more)


def move(
    state: State,
    step: int,
    age: timedelta = HOUR,
    *,
    plan: Plan = PLAN,
    verdicts: dict[str, Verdict] | None = None,
    holds: tuple[str, ...] = (),
    units: dict[str, int] | None = None,
    otherwise: Verdict = PASSED,
    **progress: Any,
) -> tuple[State, int] | None:
    """Where a rollout goes from there, None where it stays."""
    evaluation = found(plan, step, verdicts, holds=holds, units=units, otherwise=otherwise)
    decided = decide(plan, at(state, step, age, **progress), evaluation, NOW)
    return None if decided is None else (decided.to, decided.step)


WATCHED = [
    (State.SHADOW, SHADOW),
    (State.CANARY, FIRST),
    (State.CANARY, SECOND),
    (State.AWAITING_APPROVAL, SECOND),
    (State.PAUSED, FIRST),
    (State.PROMOTING, SOAK),
    (State.SOAK, SOAK),
]
"""Every state in which something could harm, with a step."""


def test_a_pending_rollout_goes_to_its_first_step() -> None:
    assert move(State.PENDING, 0) == (State.SHADOW, SHADOW)
    canary = guarded(steps=[{"weight": 0.1}])
    assert move(State.PENDING, 0, plan=canary) == (State.CANARY, 0)


@pytest.mark.parametrize(("state", "step"), WATCHED)
@pytest.mark.parametrize("guardrail", ["error_rate", "dp_diff:SEX", "accuracy"])
def test_harm_rolls_back_whatever_the_state_and_whatever_else_is_so(
    state: State, step: int, guardrail: str
) -> None:
    assert move(state, step, verdicts={guardrail: VIOLATED}) == (State.ROLLING_BACK, step)
    despite = {"holds": (told(Hold.SRM, "uneven"),), "approved": True, "age": timedelta(0), "units": {}}
    assert move(state, step, verdicts={guardrail: VIOLATED}, **despite) == (State.ROLLING_BACK, step)


@pytest.mark.parametrize("arm", ["challenger", "challenger-3", "paired"])
def test_harm_on_any_arm_is_harm_and_named(arm: str) -> None:
    good = found(PLAN, FIRST)
    bad = replace(good.judgements[0], arm=arm, verdict=VIOLATED)
    decided = decide(PLAN, at(State.CANARY, FIRST), replace(good, judgements=(*good.judgements, bad)), NOW)
    assert decided is not None
    assert decided.to is State.ROLLING_BACK
    assert decided.reason.startswith(f"error_rate of the {arm} is 0.03")


def test_shadow_goes_to_the_first_canary_after_its_duration_with_nothing_violated() -> None:
    assert move(State.SHADOW, SHADOW) == (State.CANARY, FIRST)
    assert move(State.SHADOW, SHADOW, otherwise=UNSURE) == (State.CANARY, FIRST)
    assert move(State.SHADOW, SHADOW, HOUR - timedelta(seconds=1)) is None
    assert move(State.SHADOW, SHADOW, units={"paired": 499}) is None


@pytest.mark.parametrize(
    ("advance_when", "verdicts", "goes"),
    [
        ("none_violated", {"error_rate": UNSURE, "accuracy": UNSURE}, True),
        ("none_violated", {"accuracy": Verdict.NO_DATA}, True),
        ("none_violated", {"error_rate": Verdict.NO_DATA}, False),
        ("fast_passed", {"accuracy": UNSURE}, True),
        ("fast_passed", {"dp_diff:SEX": UNSURE}, False),
        ("all_passed", {"accuracy": UNSURE}, False),
        ("all_passed", {"accuracy": Verdict.INSUFFICIENT_DATA}, False),
        ("all_passed", {}, True),
    ],
)
def test_a_canary_goes_on_when_its_verdicts_are_what_it_asks(
    advance_when: str, verdicts: dict[str, Verdict], goes: bool
) -> None:
    steps = [{"weight": 0.05, "advance_when": advance_when}, {"weight": 0.2}]
    decided = move(State.CANARY, 0, plan=guarded(steps=steps), verdicts=verdicts)
    assert decided == ((State.CANARY, 1) if goes else None)


@pytest.mark.parametrize("units", [{"challenger": 500, "control": 499}, {"control": 500}, {}])
def test_each_compared_cohort_needs_its_units(units: dict[str, int]) -> None:
    assert move(State.CANARY, FIRST, units=units) is None
    assert move(State.CANARY, FIRST, units={"challenger": 500, "control": 500}) == (State.CANARY, SECOND)


def test_approval_is_the_last_gate() -> None:
    assert move(State.CANARY, SECOND) == (State.AWAITING_APPROVAL, SECOND)
    assert move(State.CANARY, SECOND, verdicts={"error_rate": UNSURE}) is None
    assert move(State.CANARY, SECOND, units={}) is None
    assert move(State.AWAITING_APPROVAL, SECOND) is None
    assert move(State.AWAITING_APPROVAL, SECOND, approved=True) == (State.PROMOTING, SOAK)


def test_what_is_approved_is_looked_at_again() -> None:
    unsure = {"error_rate": UNSURE}
    assert move(State.AWAITING_APPROVAL, SECOND, approved=True, verdicts=unsure) is None
    held = (told(Hold.SRM, "uneven"),)
    assert move(State.AWAITING_APPROVAL, SECOND, approved=True, holds=held) == (State.PAUSED, SECOND)
    overridden: Any = {"approved": True, "overridden": True}
    assert move(State.AWAITING_APPROVAL, SECOND, verdicts=unsure, **overridden) == (State.PROMOTING, SOAK)
    assert move(State.AWAITING_APPROVAL, SECOND, holds=held, **overridden) == (State.PAUSED, SECOND)


@pytest.mark.parametrize("hold", [one for one in Hold if one not in {Hold.INCONCLUSIVE, Hold.VIOLATED}])
@pytest.mark.parametrize(("state", "step"), [one for one in WATCHED if one[0] in PAUSABLE])
def test_whatever_holds_it_pauses_it(state: State, step: int, hold: Hold) -> None:
    evaluation = found(PLAN, step, holds=(told(hold, "why"),))
    decided = decide(PLAN, at(state, step), evaluation, NOW)
    assert decided == Move(State.PAUSED, step, f"{hold}: why", (f"{hold}: why",))


def test_a_guardrail_may_hold_or_warn_instead_of_rolling_back() -> None:
    def plan(reaction: str) -> Plan:
        return guarded(guardrails=[{"metric": "error_rate", "margin": 0.01, "on_violation": reaction}])

    bad = {"error_rate": VIOLATED}
    assert move(State.CANARY, FIRST, plan=plan("hold"), verdicts=bad) == (State.PAUSED, FIRST)
    assert move(State.PAUSED, FIRST, plan=plan("hold"), verdicts=bad) is None
    assert move(State.CANARY, FIRST, plan=plan("warn"), verdicts=bad) == (State.CANARY, SECOND)
    # In spite of it, as a person said: it goes on at this weight, and no further.
    accepted = frozenset({"violated error_rate"})
    assert move(State.CANARY, FIRST, plan=plan("hold"), verdicts=bad, accepted=accepted) is None


def test_a_pause_is_over_when_the_signal_recovered_and_not_before() -> None:
    paused: Any = {"paused_from": State.CANARY, "resumes": True}
    assert move(State.PAUSED, FIRST, holds=(told(Hold.NO_DATA, "none"),), **paused) is None
    assert move(State.PAUSED, FIRST, **paused) == (State.CANARY, FIRST)
    assert move(State.PAUSED, FIRST, paused_from=State.CANARY) is None


def test_a_person_may_go_on_in_spite_of_a_hold() -> None:
    held: Any = {"holds": (told(Hold.SRM, "uneven"),)}
    assert move(State.CANARY, FIRST, accepted=frozenset({"srm"}), **held) == (State.CANARY, SECOND)
    assert move(State.CANARY, FIRST, accepted=frozenset({"crossed_units"}), **held) == (State.PAUSED, FIRST)


@pytest.mark.parametrize(
    ("reaction", "to"),
    [
        ("hold", (State.PAUSED, FIRST)),
        ("rollback", (State.ROLLING_BACK, FIRST)),
        ("require_approval", (State.AWAITING_APPROVAL, FIRST)),
    ],
)
def test_a_step_that_shows_nothing_in_its_time_ends_as_the_plan_says(reaction: str, to: tuple[State, int]) -> None:
    plan, day = guarded(on_inconclusive=reaction), timedelta(days=1)
    assert move(State.CANARY, FIRST, day, plan=plan, units={}) == to
    assert move(State.CANARY, FIRST, day - timedelta(seconds=1), plan=plan, units={}) is None
    assert move(State.CANARY, FIRST, day, plan=plan) == (State.CANARY, SECOND)
    assert move(State.CANARY, FIRST, day, plan=plan, units={}, accepted=frozenset({"inconclusive"})) is None


@pytest.mark.parametrize(("key", "kind"), [("on_srm", Hold.SRM), ("on_no_data", Hold.NO_DATA)])
def test_a_plan_may_roll_back_for_what_holds_others(key: str, kind: Hold) -> None:
    holds = (told(kind, "why"),)
    assert move(State.PAUSED, FIRST, plan=guarded(**{key: "rollback"}), holds=holds) == (State.ROLLING_BACK, FIRST)
    assert move(State.CANARY, FIRST, plan=guarded(**{key: "hold"}), holds=holds) == (State.PAUSED, FIRST)


def test_before_the_soak_fast_guardrails_must_have_passed_and_outcomes_may_wait_for_it() -> None:
    steps = [{"weight": 0.5}, {"mode": "soak"}]
    plan = guarded(steps=steps)
    assert move(State.CANARY, 0, plan=plan, verdicts={"accuracy": UNSURE}) == (State.PROMOTING, 1)
    assert move(State.CANARY, 0, plan=plan, verdicts={"dp_diff:SEX": UNSURE}) is None


def test_without_a_soak_every_required_guardrail_must_have_passed() -> None:
    plan = guarded(steps=[{"weight": 0.2}])
    assert move(State.CANARY, 0, plan=plan, verdicts={"accuracy": UNSURE}) is None
    assert move(State.CANARY, 0, plan=plan) == (State.PROMOTING, 0)
    optional = guarded(
        steps=[{"weight": 0.2}],
        guardrails=[
            {"metric": "error_rate", "margin": 0.01},
            {"metric": "accuracy", "margin": 0.02, "required": False},
        ],
    )
    assert move(State.CANARY, 0, plan=optional, verdicts={"accuracy": UNSURE}) == (State.PROMOTING, 0)


def test_promoting_waits_until_every_worker_follows() -> None:
    early = FOLLOWED_AFTER - timedelta(seconds=1)
    assert move(State.PROMOTING, SOAK, early) is None
    assert move(State.PROMOTING, SOAK, FOLLOWED_AFTER) == (State.SOAK, SOAK)
    plan = guarded(steps=[{"weight": 0.2}])
    assert move(State.PROMOTING, 0, early, plan=plan) is None
    assert move(State.PROMOTING, 0, FOLLOWED_AFTER, plan=plan) == (State.PROMOTED, 0)


def test_what_has_not_passed_any_more_while_it_waited_goes_back_to_its_step() -> None:
    plan = guarded(steps=[{"weight": 0.2}])
    unsure = {"accuracy": UNSURE}
    assert move(State.PROMOTING, 0, plan=plan, verdicts=unsure) == (State.CANARY, 0)
    assert move(State.PROMOTING, 0, plan=plan, verdicts=unsure, overridden=True) == (State.PROMOTED, 0)
    held = (told(Hold.SRM, "uneven"),)
    assert move(State.PROMOTING, 0, plan=plan, holds=held, overridden=True) == (State.CANARY, 0)


def test_a_soak_ends_when_outcomes_had_time_to_come_and_all_have_passed() -> None:
    matured = timedelta(days=2)
    assert move(State.SOAK, SOAK, matured) == (State.PROMOTED, SOAK)
    assert move(State.SOAK, SOAK, matured - timedelta(seconds=1)) is None
    assert move(State.SOAK, SOAK, matured, verdicts={"accuracy": UNSURE}) is None
    assert move(State.SOAK, SOAK, matured, units={"challenger": 9_000, "control": 499}) is None


def test_a_rollback_is_over_when_every_worker_serves_the_champion() -> None:
    assert move(State.ROLLING_BACK, FIRST, timedelta(seconds=5)) is None
    assert move(State.ROLLING_BACK, FIRST, FOLLOWED_AFTER, verdicts={"accuracy": VIOLATED}) == (
        State.ROLLED_BACK,
        FIRST,
    )
    assert move(State.FAILED_SAFE, FIRST, timedelta(0)) == (State.ROLLING_BACK, FIRST)


def test_evaluations_that_fail_hold_and_after_some_in_a_row_roll_back() -> None:
    failed = (told(Hold.ERROR, "a bug"),)
    assert move(State.CANARY, FIRST, holds=failed) == (State.PAUSED, FIRST)
    assert move(State.PAUSED, FIRST, holds=failed, errors=MAX_ERRORS - 2) is None
    assert move(State.PAUSED, FIRST, holds=failed, errors=MAX_ERRORS - 1) == (State.ROLLING_BACK, FIRST)
    assert move(State.PAUSED, FIRST, errors=MAX_ERRORS - 1) is None
    progress = at(State.PAUSED, FIRST, errors=3)
    assert errors_in_a_row(progress, found(PLAN, FIRST, holds=failed)) == 4
    assert errors_in_a_row(progress, found(PLAN, FIRST)) == 0


def test_an_experiment_is_measured_and_never_promoted_and_harm_ends_it() -> None:
    goal = {"metric": "selection_rate", "margin": 0.0, "required": False}
    plan = guarded(steps=[{"weight": 0.5, "max_duration": "2h"}], goals=[goal])
    assert move(State.CANARY, 0, timedelta(hours=1), plan=plan) is None
    assert move(State.CANARY, 0, plan=plan, verdicts={"error_rate": VIOLATED}) == (State.ROLLING_BACK, 0)
    several = guarded(challengers=["2", "3"], steps=[{"weights": [0.1, 0.1]}])
    units = {"challenger": 999, "challenger-2": 999, "control": 999}
    assert move(State.CANARY, 0, timedelta(hours=9), plan=several, units=units) is None


def test_shadow_traffic_alone_promotes_nobody() -> None:
    plan = guarded(steps=[{"mode": "shadow", "sample": 0.5}])
    assert move(State.SHADOW, 0, timedelta(days=1), plan=plan) is None
    assert move(State.SHADOW, 0, timedelta(days=9), plan=plan) == (State.PAUSED, 0)


def test_what_shadow_traffic_cannot_measure_keeps_a_rollout_from_its_soak() -> None:
    limit = {"metric": "dp_ratio", "attribute": "SEX", "compare": "absolute", "margin": 0.8}
    plan = guarded(steps=[{"mode": "shadow", "sample": 0.5}, {"mode": "soak"}], guardrails=[limit])
    assert move(State.SHADOW, 0, plan=plan) is None


def test_nothing_is_promoted_where_nothing_must_pass() -> None:
    plan = guarded(steps=[{"weight": 0.5}], guardrails=[{"metric": "accuracy", "margin": 0.1, "required": False}])
    assert not plan.promotes
    assert move(State.CANARY, 0, plan=plan) is None


def test_a_manual_split_without_an_end_is_never_moved() -> None:
    plan = Plan.parse({"model": "credit", "steps": [{"weight": 0.2}]})
    for state in ACTIVE - ENDING - {State.PENDING}:
        progress = at(state, 0, timedelta(days=99))
        assert decide(plan, progress, found(guarded(), 0, otherwise=VIOLATED), NOW) is None


# Laws

verdicts = st.dictionaries(st.sampled_from(["error_rate", "dp_diff:SEX", "accuracy"]), st.sampled_from(Verdict))
hold_texts = st.lists(st.sampled_from([told(one, "why") for one in Hold]), max_size=2).map(tuple)
ages = st.integers(0, 10 * 24 * 60).map(lambda minutes: timedelta(minutes=minutes))
units_seen = st.dictionaries(st.sampled_from(["challenger", "control", "paired"]), st.integers(0, 2_000))
progresses = st.builds(
    at,
    st.sampled_from(State),
    st.integers(0, 3),
    ages,
    approved=st.booleans(),
    overridden=st.just(False),
    resumes=st.booleans(),
    errors=st.integers(0, 6),
    paused_from=st.sampled_from([*sorted(PAUSABLE)]),
)
EXPOSURE = {SHADOW: 0, FIRST: 500, SECOND: 2_000, SOAK: 9_500}
UNSERVED = TERMINAL | ENDING | {State.PENDING}


def exposure(state: State, step: int) -> int:
    return 10_000 if state is State.PROMOTED else 0 if state in UNSERVED else EXPOSURE[step]


@given(progresses, verdicts, hold_texts, units_seen)
def test_a_weight_never_rises_without_all_its_guards(
    progress: Progress, found_verdicts: dict[str, Verdict], holds: tuple[str, ...], units: dict[str, int]
) -> None:
    if progress.state is not State.PENDING and progress.state not in {*OF_STEP.values()}:
        step = progress.step
    else:  # the states of a step are met in that step only
        step = next((number for number, state in OF_STEP.items() if state is progress.state), 0)
    progress = replace(progress, step=step)
    evaluation = found(PLAN, step, found_verdicts, holds=holds, units=units)
    decided = decide(PLAN, progress, evaluation, NOW)
    if decided is None or exposure(decided.to, decided.step) <= exposure(progress.state, step):
        return
    current, age = PLAN.steps[step], NOW - progress.entered_at
    assert not holds
    assert Verdict.VIOLATED not in {one.verdict for one in evaluation.judgements}
    if progress.state not in {State.PROMOTING, State.AWAITING_APPROVAL}:
        assert age >= current.min_duration
    if progress.state is not State.PROMOTING:
        compared = ("paired",) if current.mode == "shadow" else ("challenger", "control")
        assert all(units.get(arm, 0) >= current.min_units for arm in compared)
    if current.requires_approval:
        assert progress.approved
    if decided.to in {State.PROMOTING, State.PROMOTED}:
        passed = {one.guardrail for one in evaluation.judgements if one.verdict is PASSED}
        assert passed >= {"error_rate", "dp_diff:SEX"}
        assert decided.to is State.PROMOTING or "accuracy" in passed


@given(progresses.filter(lambda one: one.state in TERMINAL), verdicts, hold_texts)
def test_what_is_over_never_changes(
    progress: Progress, found_verdicts: dict[str, Verdict], holds: tuple[str, ...]
) -> None:
    assert decide(PLAN, progress, found(PLAN, progress.step, found_verdicts, holds=holds), NOW) is None


@given(progresses.filter(lambda one: one.state in ENDING), verdicts, hold_texts)
def test_a_rollback_goes_on_to_its_end_and_nowhere_else(
    progress: Progress, found_verdicts: dict[str, Verdict], holds: tuple[str, ...]
) -> None:
    decided = decide(PLAN, progress, found(PLAN, progress.step, found_verdicts, holds=holds), NOW)
    assert decided is None or decided.to in {State.ROLLING_BACK, State.ROLLED_BACK}


@given(progresses, verdicts, hold_texts, units_seen)
def test_harm_is_never_overlooked(
    progress: Progress, found_verdicts: dict[str, Verdict], holds: tuple[str, ...], units: dict[str, int]
) -> None:
    evaluation = found(PLAN, progress.step, found_verdicts, holds=holds, units=units)
    decided = decide(PLAN, progress, evaluation, NOW)
    is_harmful = VIOLATED in {one.verdict for one in evaluation.judgements}
    if is_harmful and progress.state in ACTIVE - ENDING:
        assert decided is not None
        assert decided.to is State.ROLLING_BACK
