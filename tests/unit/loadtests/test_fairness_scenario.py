from loadtests.bench.run import SCENARIOS
from loadtests.bench.scenarios.fairness import findings_of

MEDIAN = {"strings": 0.1, "codes": 0.005, "bootstrap": 0.02, "fairlearn": 50.0}


def test_the_scenario_is_played_by_make_bench() -> None:
    assert "fairness" in SCENARIOS


def test_every_target_is_met_or_missed_by_its_own_figure() -> None:
    assert [finding.met for finding in findings_of(MEDIAN)] == [True, True, True, True]
    for name, worse, missed in (
        ("strings", 0.2, 2),
        ("codes", 0.02, 1),
        ("bootstrap", 0.06, 1),
        ("fairlearn", 20.0, 1),
    ):
        found = findings_of(MEDIAN | {name: worse})
        assert sum(not finding.met for finding in found) == missed


def test_a_missed_ratio_says_by_how_much() -> None:
    ratio = findings_of(MEDIAN | {"fairlearn": 24.0})[2]
    assert (ratio.target, ratio.measured) == ("≥ 300 ×", "240 × (20 % short)")
