"""The scenario of a rollout's evidence: played by `make bench`, with its target."""

from __future__ import annotations

from loadtests.bench.run import SCENARIOS
from loadtests.bench.scenarios.rollout_evaluation import findings_of


def test_the_scenario_is_played_by_make_bench() -> None:
    assert "rollout_evaluation" in SCENARIOS


def test_each_target_is_met_or_missed_by_its_own_figure() -> None:
    assert [finding.met for finding in findings_of(0.9, 0.9)] == [True, True]
    assert [finding.met for finding in findings_of(0.9, 1.1)] == [True, False]
    assert [finding.met for finding in findings_of(1.1, 0.9)] == [False, True]
