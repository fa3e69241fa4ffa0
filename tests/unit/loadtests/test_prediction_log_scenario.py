from loadtests.bench.run import SCENARIOS
from loadtests.bench.scenarios.prediction_log import findings_of

CPU = {"append plain": 8e-6, "sqlite plain": 25e-6, "postgresql plain": 20e-6}
WALL = {"sqlite plain": 30e-6, "postgresql plain": 40e-6}


def test_the_scenario_is_played_by_make_bench() -> None:
    assert "prediction_log" in SCENARIOS


def test_every_target_is_met_or_missed_by_its_own_figure() -> None:
    assert [finding.met for finding in findings_of(WALL, CPU)] == [True] * 5
    for number, name in enumerate(CPU):
        found = findings_of(WALL, CPU | {name: 31e-6})
        assert [finding.met for finding in found].index(False) == number
        assert sum(not finding.met for finding in found) == 1
    for number, name in enumerate(WALL, 3):
        found = findings_of(WALL | {name: 51e-6}, CPU)
        assert [finding.met for finding in found].index(False) == number
