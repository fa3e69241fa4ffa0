"""The report of a rollout: one page that needs nothing else, at any time of its life, and no few people's rate."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

from rollout.evaluating import Evaluation
from rollout.evaluations import StoredEvaluation
from rollout.guardrail import Verdict
from rollout.history import Action, Event
from rollout.judging import GroupRate, Judgement, SplitJudgement
from rollout.plan import Plan
from rollout.report_html import Chain, copied, html
from rollout.rollouts import Rollout

BEGAN = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOSTILE = "<script>alert('x')</script>"
PLAN: dict[str, Any] = {
    "model": "credit",
    "challenger": "2",
    "steps": [{"weight": 0.1}, {"weight": 0.5}, {"mode": "soak"}],
    "guardrails": [
        {"metric": "dp_diff", "attribute": "SEX", "margin": 0.05},
        {"metric": "error_rate", "margin": 0.01},
    ],
}
VOID = {"meta", "rect", "line", "path", "circle", "br"}


class Balanced(HTMLParser):
    """Holds that every element that is opened is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def rollout(state: str = "canary", **changes: Any) -> Rollout:
    ended = BEGAN + timedelta(hours=5) if state in {"promoted", "rolled_back"} else None
    facts = {"id": "r-1", "model": "credit", "state": state, "version": 3, "weight": 0.1, "reason": None}
    versions = {"champion_version": "1", "challenger_version": "2"}
    times = {"created_by": "ada", "created_at": BEGAN, "finished_at": ended}
    return Rollout(**(facts | versions | times | changes))


def event(number: int, state: str, weight: float, reason: str | None = None) -> Event:
    at = BEGAN + timedelta(hours=number)
    return Event(number, Action.WEIGHT_CHANGED, state, weight, "ada", at, reason)


def judgement(guardrail: str, arm: str = "challenger", **changes: Any) -> Judgement:
    values: dict[str, Any] = {
        "verdict": Verdict.INCONCLUSIVE,
        "estimate": 0.02,
        "lower": -0.03,
        "upper": 0.07,
        "margin": 0.05,
        "log_e": 0.1,
        "n": 4_000,
        "needed": 1_234,
        "reason": None,
        "groups": (GroupRate("challenger", "", "1", 500, 0.3), GroupRate("challenger", "", "rare", 7, 0.4286)),
    }
    return Judgement(guardrail=guardrail, arm=arm, **(values | changes))


def stored(hours: float, *judgements: Judgement, **changes: Any) -> StoredEvaluation:
    split = SplitJudgement(
        stage="assigned",
        step=0,
        attribute="",
        group="",
        counts={"challenger": 130, "control": 870},
        expected={"challenger": 500.0, "control": 500.0},
        log_e=9.6,
        alarm=True,
    )
    values: dict[str, Any] = {
        "judgements": judgements,
        "splits": (split,),
        "coverage": {"labels": 0.4, "attribute:SEX": 0.99},
        "crossed": 0.0,
        "units": {"challenger": 130, "control": 870},
        "watermark": BEGAN,
        "holds": ("srm: units are not split as planned",),
    }
    at = BEGAN + timedelta(hours=hours)
    return StoredEvaluation("e", "r-1", 1, at, "canary", 0, Evaluation(**(values | changes)), {}, "1")


def page(
    made: Rollout, plan: Plan, events: list[Event], evaluations: list[StoredEvaluation], chain: Chain | None = None
) -> str:
    written = html(made, plan, events, evaluations, now=BEGAN + timedelta(hours=6), chain=chain)
    parser = Balanced()
    parser.feed(written)
    assert parser.open == []
    return written


def test_it_tells_what_was_decided_and_the_evidence_for_it() -> None:
    looks = [
        stored(hours, judgement("dp_diff:SEX"), judgement("error_rate", verdict=Verdict.PASSED, reason=None))
        for hours in (1, 2, 3)
    ]
    written = page(rollout(), Plan.parse(PLAN), [event(0, "canary", 0.1), event(2, "canary", 0.5, "passed")], looks)
    for words in (
        "? inconclusive",
        "✓ passed",
        "about 1,234 more",
        "4,000 of 5,000 planned",
        "✗ mismatch",
        "40.0%",
    ):
        assert words in written
    assert written.count('class="band"') == 2
    assert "units are not split as planned" in written


def test_it_needs_nothing_from_elsewhere() -> None:
    written = page(rollout(), Plan.parse(PLAN), [event(0, "canary", 0.1)], [stored(1, judgement("dp_diff:SEX"))])
    assert re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?(?!#)\S+", written) == []
    assert "<script" not in written


def test_a_group_of_few_is_shown_without_its_rate() -> None:
    written = page(rollout(), Plan.parse(PLAN), [], [stored(1, judgement("dp_diff:SEX"))])
    assert "fewer than 20" in written
    assert "0.4286" not in written


@pytest.mark.parametrize("state", ["pending", "canary", "promoted", "rolled_back", "cancelled"])
def test_a_rollout_without_any_evaluation_has_a_page_too(state: str) -> None:
    written = page(rollout(state), Plan.parse(PLAN), [event(0, state, 0.1)], [])
    assert "Nothing has been evaluated yet." in written


def test_a_manual_split_says_that_nothing_is_judged() -> None:
    plan = Plan.parse({"model": "credit", "steps": [{"weight": 0.2}]})
    assert "A manual split: nothing is judged" in page(rollout(), plan, [event(0, "canary", 0.2)], [])


def test_an_experiment_with_several_challengers_shows_its_goals_for_each() -> None:
    plan = Plan.parse(
        {
            "model": "credit",
            "challengers": ["2", "3"],
            "steps": [{"weights": [0.2, 0.3]}],
            "guardrails": [{"metric": "error_rate", "margin": 0.01}],
            "goals": [{"metric": "accuracy", "margin": 0.01}],
        }
    )
    arms = ("challenger", "challenger-2")
    looks = [stored(1, *(judgement(name, arm) for name in ("error_rate", "accuracy") for arm in arms))]
    written = page(rollout(), plan, [event(0, "canary", 0.2)], looks)
    assert "<h2>Goals</h2>" in written
    assert written.count("challenger, version 3") >= 2


def test_texts_that_came_with_data_are_escaped() -> None:
    hostile = judgement(
        "dp_diff:SEX", reason=HOSTILE, groups=(GroupRate("challenger", "", HOSTILE + "\x00\ud800", 99, 0.1),)
    )
    written = page(
        rollout(model=HOSTILE, reason=HOSTILE, created_by=HOSTILE),
        Plan.parse(PLAN | {"model": HOSTILE}),
        [event(0, "canary", 0.1, HOSTILE)],
        [stored(1, hostile, holds=(HOSTILE,))],
        Chain(is_whole=False, told=HOSTILE),
    )
    assert "<script" not in written
    assert "NOT whole" in written
    written.encode()


def test_intervals_without_ends_and_an_error_are_drawn_or_left_out() -> None:
    looks = [
        stored(
            1, judgement("dp_diff:SEX", estimate=None, lower=None, upper=None, verdict=Verdict.ERROR, reason="no")
        ),
        stored(2, judgement("dp_diff:SEX", lower=None, upper=float("inf"))),
        stored(3, judgement("dp_diff:SEX", lower=0.06, upper=0.2, estimate=0.13, verdict=Verdict.VIOLATED)),
    ]
    written = page(rollout("rolled_back"), Plan.parse(PLAN), [event(0, "canary", 0.1)], looks)
    assert "✗ violated" in written
    assert "nan" not in written
    assert "inf" not in written.replace("insufficient", "").replace("info", "")


def test_the_plan_on_the_page_is_the_plan() -> None:
    plan = Plan.parse(PLAN | {"label_maturity": "2d"})
    import yaml

    assert Plan.parse(yaml.safe_load(copied(plan))) == plan
