"""What is counted of pairs is what rollouts count of shadow rows one by one; the oracle is their own code."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairness.groups import UNKNOWN
from replay.calibration import Calibration
from replay.changed_decisions import LargestChanges, changed_decisions
from replay.evidence import REFUSED, arm_of, evidence
from replay.judging import judge_pairs, plan_of
from replay.pairs import Pairs
from replay.rescoring import Answers
from rollout.evaluating import judged
from rollout.evidence import PAIRED, Cell, CellKey, Evidence
from rollout.guardrail import Guardrail, Stage, Verdict
from rollout.judging import alphas
from rollout.observations import OK, Observed, difference, group_of, observation
from rollout.plan import Plan

LABELS = (0, 1, "x", True)
GUARDRAILS = tuple(
    Guardrail(**{"margin": 0.05} | one)
    for one in (
        {"metric": "error_rate"},
        {"metric": "selection_rate"},
        {"metric": "accuracy"},
        {"metric": "brier"},
        {"metric": "log_loss"},
        {"metric": "dp_diff", "attribute": "sex", "reference": "m"},
        {"metric": "dp_diff", "attribute": "sex", "stage": "labelled", "id": "late"},
        {"metric": "eodds_diff", "attribute": "sex"},
        {"metric": "group_accuracy_min", "attribute": "sex"},
        {"metric": "selection_rate", "compare": "absolute", "id": "least"},
    )
)


class Row(NamedTuple):
    against: Any
    challenger: Any
    before: float
    after: float
    outcome: Any
    is_due: bool
    attributes: dict[str, str | None]

    def observed(self) -> tuple[Observed, Observed]:
        outcome = self.outcome if self.is_due else None
        status = REFUSED if self.challenger is None else OK
        return (
            Observed(status, self.challenger, self.after, outcome=outcome),
            Observed(OK, self.against, self.before, outcome=outcome),
        )


scores = st.floats(0, 1, allow_nan=False)
rows = st.builds(
    Row,
    st.sampled_from(LABELS),
    st.sampled_from((*LABELS, None)),
    scores,
    scores,
    st.sampled_from((*LABELS, None)),
    st.booleans(),
    st.dictionaries(st.sampled_from(["sex", "age"]), st.sampled_from(["m", "f", "", None])),
)


def added(seen: list[Row], batch: int = 7) -> Pairs:
    pairs = Pairs()
    for start in range(0, len(seen), batch):
        some = seen[start : start + batch]
        labels = pairs.labels
        against = Answers(labels.codes([row.against for row in some]), np.array([row.before for row in some]))
        challenger = Answers(labels.codes([row.challenger for row in some]), np.array([row.after for row in some]))
        is_due = np.array([row.is_due for row in some])
        outcomes = labels.codes([row.outcome for row in some])
        attributes = [row.attributes for row in some]
        pairs.add(against, challenger, is_due=is_due, outcomes=outcomes, attributes=attributes)
        pairs.add_losses(against, challenger, is_due=is_due, outcomes=outcomes, positive=1)
    return pairs


def one_by_one(guardrail: Guardrail, seen: list[Row]) -> dict[CellKey, Cell]:
    found: defaultdict[CellKey, Cell] = defaultdict(lambda: Cell(0, 0.0, 0.0))
    for row in seen:
        if guardrail.counted is Stage.LABELLED and not row.is_due:
            continue
        challenger, against = row.observed()
        pair = guardrail.compare == "control"
        value = difference(guardrail, challenger, against) if pair else observation(guardrail, challenger)
        if value is not None:
            known = {name: group or None for name, group in row.attributes.items()}
            key = CellKey(0, arm_of(guardrail), value.part, group_of(guardrail, known))
            found[key] += Cell(1, value.value, value.value**2)
    return dict(found)


@settings(max_examples=40)
@given(st.lists(rows, max_size=60))
def test_counted_pairs_are_those_that_rollouts_count_one_by_one(seen: list[Row]) -> None:
    pairs = added(seen)
    plan = plan_of(None, model="credit", guardrails=GUARDRAILS)
    found = evidence(plan, pairs)
    for guardrail in GUARDRAILS:
        expected, cells = one_by_one(guardrail, seen), found.cells[guardrail.name]
        assert cells.keys() == expected.keys(), guardrail.name
        for key, cell in cells.items():
            assert cell == pytest.approx(expected[key], abs=1e-9), (guardrail.name, key)


@settings(max_examples=10)  # each judges ten guardrails twice
@given(st.lists(rows, max_size=60))
def test_verdicts_are_those_of_rollouts_on_the_same_pairs(seen: list[Row]) -> None:
    pairs = added(seen)
    plan = plan_of(None, model="credit", guardrails=GUARDRAILS)
    units = evidence(plan, pairs).units
    oracle = Evidence(cells={one.name: one_by_one(one, seen) for one in GUARDRAILS}, units=units)
    for judgement in judge_pairs(plan, pairs).judgements:
        guardrail = next(one for one in GUARDRAILS if one.name == judgement.guardrail)
        alpha = alphas(plan)[guardrail.name]
        expected = judged(plan, guardrail, oracle, arm=arm_of(guardrail), alpha=alpha)
        assert (judgement.verdict, judgement.n) == (expected.verdict, expected.n)
        for name in ("estimate", "lower", "upper"):
            assert getattr(judgement, name) == pytest.approx(getattr(expected, name), abs=1e-6)


@settings(max_examples=40)
@given(st.lists(rows, max_size=60))
def test_changed_decisions_are_those_that_one_finds_by_looking_at_each(seen: list[Row]) -> None:
    def groups(row: Row) -> Iterator[tuple[str, str]]:
        yield "", ""
        for name in {name for other in seen for name, value in other.attributes.items() if value}:
            yield name, row.attributes.get(name) or UNKNOWN

    expected: Counter[tuple[Any, ...]] = Counter()
    sizes: Counter[tuple[str, str]] = Counter()
    for row in seen:
        for group in groups(row):
            sizes[group] += 1
            same = type(row.against) is type(row.challenger) and row.against == row.challenger
            if row.challenger is not None and not same:
                expected[(*group, repr(row.against), repr(row.challenger))] += 1
    found = changed_decisions(added(seen))
    assert {(one.attribute, one.group, repr(one.before), repr(one.after)): one.rows for one in found} == expected
    assert all(one.of == sizes[one.attribute, one.group] for one in found)


@settings(max_examples=40)
@given(st.lists(st.tuples(scores, scores), max_size=60), st.integers(1, 9))
def test_the_largest_changes_are_named_however_rows_come_in_batches(
    pairs: list[tuple[float, float]], batch: int
) -> None:
    found = LargestChanges(shown=5)
    for start in range(0, len(pairs), batch):
        some = pairs[start : start + batch]
        nothing = np.zeros(len(some), np.int64)
        before, after = (np.array([pair[side] for pair in some]) for side in (0, 1))
        ids = [str(start + place) for place in range(len(some))]
        found.add(ids, Answers(nothing, before), Answers(nothing, after), ["no"])
    changes = sorted((abs(after - before) for before, after in pairs if before != after), reverse=True)
    assert [abs(one.score_after - one.score_before) for one in found.found] == changes[:5]
    for one in found.found:
        assert pairs[int(one.prediction_id)] == (one.score_before, one.score_after)


def test_a_plan_keeps_its_errors_and_coverages_and_is_one_comparison() -> None:
    plan = Plan.parse(
        {
            "model": "credit",
            "steps": [{"mode": "shadow", "sample": 0.5}, {"weight": 0.5}],
            "guardrails": [{"metric": "accuracy", "margin": 0.1}, {"metric": "error_rate", "margin": 0.1}],
            "alpha_rollback": 0.02,
            "label_coverage_min": 0.3,
        }
    )
    kept = plan_of(plan, model="credit")
    assert (kept.guardrails, kept.alpha_rollback, kept.label_coverage_min) == (plan.guardrails, 0.02, 0.3)
    assert alphas(kept) == {"accuracy": 0.01, "error_rate": 0.01}


def test_too_few_outcomes_lack_data_whatever_the_known_ones_say() -> None:
    harmed = [Row(1, 0, 0.9, 0.1, 1 if place % 2 else None, True, {}) for place in range(2_000)]
    plan = plan_of(None, model="credit", guardrails=[Guardrail(metric="accuracy", margin=0.05)])
    (judgement,) = judge_pairs(plan, added(harmed)).judgements
    assert (judgement.arm, judgement.verdict) == (PAIRED, Verdict.INSUFFICIENT_DATA)
    assert "only 1,000 of 2,000 units known" in (judgement.reason or "")


def test_scores_that_tell_the_share_of_outcomes_are_calibrated() -> None:
    rng = np.random.default_rng(0)
    told = rng.random(20_000)
    honest, bold = Calibration(), Calibration()
    positive = rng.random(20_000) < told
    honest.add(told, positive)
    bold.add(np.where(told > 0.5, 0.99, 0.01), positive)
    assert honest.error() == pytest.approx(0, abs=0.02)
    assert bold.error() == pytest.approx(0.24, abs=0.02)
    assert Calibration().error() is None
