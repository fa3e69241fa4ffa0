from loadtests.bench.run import SCENARIOS
from loadtests.bench.scenarios.drift import findings_of, section_of

OURS = {"seconds": {"profile": [6.0], "report": [0.9, 1.0, 1.1]}, "drifted": ["a"], "psi": {}}


def test_the_scenario_is_played_by_make_bench() -> None:
    assert "drift" in SCENARIOS


def test_the_target_is_met_or_missed_by_the_report_alone() -> None:
    assert [finding.met for finding in findings_of({"report": 1.9, "profile": 9.0})] == [True]
    assert [finding.met for finding in findings_of({"report": 2.1, "profile": 1.0})] == [False]


def test_without_the_peer_our_own_target_remains() -> None:
    section = section_of(OURS)
    assert [finding.met for finding in section.findings] == [True]
    assert len(section.rows) == 2


def test_the_peer_is_compared_with_ours_of_as_many_rows() -> None:
    fewer = {"seconds": {"profile": [0.6], "report": [0.1, 0.2, 0.3]}, "drifted": ["a"], "psi": {}}
    section = section_of(OURS, (fewer, [40.0]))
    assert [row[1] for row in section.rows] == ["1,000,000", "1,000,000", "100,000", "100,000"]
    assert [row[-1] for row in section.rows] == ["", "", "200 ×", ""]
    assert "seven minutes" in section.notes[-1]
