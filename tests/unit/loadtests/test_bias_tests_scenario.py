from dataclasses import replace

import orjson

from loadtests.bench.run import SCENARIOS
from loadtests.bench.scenarios.bias_tests import Task, findings_of, inline_body
from loadtests.rows import Person

TASK = Task(upload_seconds=3.0, upload_megabytes=500.0, seconds=8.0, megabytes=800.0, grown_megabytes=500.0)


def test_the_scenario_is_played_by_make_bench() -> None:
    assert "bias_tests" in SCENARIOS


def test_every_target_is_met_or_missed_by_its_own_figure() -> None:
    assert [finding.met for finding in findings_of(0.4, 1.2, 0, TASK)] == [True] * 5
    slow, large = replace(TASK, seconds=11.0), replace(TASK, megabytes=1_200.0)
    for place, found in enumerate(
        (
            findings_of(0.6, 1.2, 0, TASK),
            findings_of(0.4, 1.6, 0, TASK),
            findings_of(0.4, 1.2, 1, TASK),
            findings_of(0.4, 1.2, 0, slow),
            findings_of(0.4, 1.2, 0, large),
        )
    ):
        assert [finding.met for finding in found] == [index != place for index in range(5)]


def test_the_body_is_a_bias_test_with_outcomes_of_both_kinds() -> None:
    body = orjson.loads(inline_body("m", [Person({"x": 1.0}, {"SEX": "1"})] * 50))
    assert (body["model"], body["favourable"], len(body["instances"])) == ("m", 1, 50)
    assert {row["outcome"] for row in body["instances"]} == {0, 1}
    assert body["instances"][0]["protected"] == {"SEX": "1"}
