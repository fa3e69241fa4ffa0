"""The scenario of what a rollout adds to a request: played by `make bench`, with a target for each split."""

from __future__ import annotations

from loadtests.bench.run import SCENARIOS
from loadtests.bench.scenarios.exposure_cost import (
    ALONE,
    CALLERS,
    JUDGED,
    MANY_UNITS,
    PLAYED,
    ROLLOUTS,
    Costs,
    findings_of,
    section_of,
)


def costs(of_canary: float, of_split: float) -> Costs:
    """Return rounds of a noisy machine, whose second one takes twice as long."""
    told = {ALONE: 80.0, CALLERS[0.1]: 90.0, CALLERS[0.5]: 100.0}
    told |= {ROLLOUTS[0.1]: 90.0 * of_canary, ROLLOUTS[0.5]: 100.0 * of_split}
    found = {traffic: [one, 2 * one, one] for traffic, one in told.items()}
    return dict.fromkeys(JUDGED, found) | {MANY_UNITS: {ALONE: [1.0], ROLLOUTS[0.1]: [2.0]}}


def test_the_scenario_is_played_by_make_bench() -> None:
    assert "exposure_cost" in SCENARIOS


def test_each_rollout_is_judged_beside_the_same_spread_of_requests() -> None:
    assert set(CALLERS) == set(ROLLOUTS)
    assert set(PLAYED) == {ALONE, *CALLERS.values(), *ROLLOUTS.values()}
    for canary, split in ((1.04, 1.04), (1.06, 1.04), (1.04, 1.06)):
        found = [finding.met for finding in findings_of(costs(canary, split))]
        assert found == [canary < 1.05, split < 1.05] * len(JUDGED)


def test_what_has_no_target_is_shown_all_the_same() -> None:
    rows = section_of(costs(1.0, 1.0), "3 rounds").rows
    assert [row for row in rows if row[0] == MANY_UNITS][1][-1] == "2.000 ×"
