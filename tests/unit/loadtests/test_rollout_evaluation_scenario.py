"""The scenario of a rollout's evidence: played by `make bench`, with its target."""

from __future__ import annotations

from loadtests.bench.run import SCENARIOS
from loadtests.bench.scenarios.rollout_evaluation import findings_of


def test_the_scenario_is_played_by_make_bench() -> None:
    assert "rollout_evaluation" in SCENARIOS


def test_the_target_is_met_or_missed_by_its_figure() -> None:
    assert [findings_of(seconds)[0].met for seconds in (0.9, 1.1)] == [True, False]
