"""The page on rollouts: its plans can be carried out, and the first one at the traffic of a small service."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from rollout.guardrail import Metric, Verdict
from rollout.linter import lint
from rollout.plan import Plan
from rollout.traffic import assumed_traffic

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "rollouts.md").read_text(encoding="utf-8")
PLANS = re.findall(r"^```yaml\n(.+?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
DEMO = ROOT / "rollout" / "plans" / "employment.yaml"


def test_every_plan_on_the_page_is_one() -> None:
    plans = [Plan.parse(yaml.safe_load(text)) for text in PLANS]
    assert [plan.is_manual for plan in plans] == [False, False, True, False]
    assert plans[1].unit == "request"
    assert plans[3].goals


def test_the_first_one_is_the_demos_and_can_pass() -> None:
    assert PLANS[0] == DEMO.read_text(encoding="utf-8")
    plan = Plan.load(DEMO)
    assert [one.message for one in lint(plan, assumed_traffic(plan, 20_000.0)) if one.level != "info"] == []


def test_every_metric_and_verdict_is_explained() -> None:
    assert [one for one in (*Metric, *Verdict) if f"`{one}`" not in PAGE] == []
