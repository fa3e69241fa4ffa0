"""The scenario of windows: played by `make bench`, with its target."""

from __future__ import annotations

from loadtests.bench.run import SCENARIOS
from loadtests.bench.scenarios.windows import findings_of


def test_the_scenario_is_played_by_make_bench() -> None:
    assert "windows" in SCENARIOS


def test_the_target_is_met_or_missed_by_its_figure() -> None:
    assert [findings_of({"month": seconds})[0].met for seconds in (0.19, 0.21)] == [True, False]
