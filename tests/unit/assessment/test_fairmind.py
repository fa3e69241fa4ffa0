"""Tests in FairMind's words: its shapes, our numbers, and nothing made up where evidence lacks."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from assessment.fairmind import DetectRequest, findings_in, findings_of, record_of
from tests.unit.assessment.conftest import made_result

METRICS = ("demographic_parity", "equalized_odds", "equal_opportunity", "predictive_parity")


def test_a_record_has_the_fields_that_fairmind_reads() -> None:
    record = record_of(made_result(), METRICS)
    assert set(record) == {
        "test_id",
        "model_id",
        "timestamp",
        "overall_risk",
        "metrics_passed",
        "metrics_failed",
        "results",
        "summary",
        "recommendations",
    }
    assert tuple(record["results"]) == METRICS
    for entry in record["results"].values():
        assert {"score", "passed", "disparity", "group_scores", "interpretation", "recommendations"} <= set(entry)


def test_numbers_and_verdicts_are_those_of_the_engine() -> None:
    result = made_result(rates=(0.8, 0.2))
    entry = record_of(result, ("demographic_parity",))["results"]["demographic_parity"]
    assert (entry["score"], entry["passed"], entry["disparity"]) == (
        pytest.approx(0.25),
        False,
        pytest.approx(0.75),
    )
    assert entry["group_scores"] == {"a": pytest.approx(0.8), "b": pytest.approx(0.2)}
    assert "highest in group 'a'" in entry["interpretation"]
    assert entry["recommendations"]


def test_predictive_parity_is_judged_by_the_precision_of_each_group() -> None:
    entry = record_of(made_result(rates=(0.5, 0.5)), ("predictive_parity",))["results"]["predictive_parity"]
    assert (entry["score"], entry["group_scores"]) == (1.0, {"a": 0.5, "b": 0.5})


def test_where_evidence_lacks_nothing_is_passed_and_the_interpretation_says_so() -> None:
    record = record_of(made_result(rates=(0.5, 0.4), rows=40), ("demographic_parity",))
    entry = record["results"]["demographic_parity"]
    assert entry["passed"] is None
    assert entry["verdict"] == "insufficient_evidence"
    assert "not enough evidence" in entry["interpretation"]
    assert "more rows" in entry["recommendations"][0]
    assert (record["overall_risk"], record["metrics_passed"], record["metrics_failed"]) == ("unknown", 0, 0)
    assert "1 could not be judged" in record["summary"]


def test_a_group_without_a_rate_has_no_score_instead_of_zero() -> None:
    record = record_of(made_result(rates=(1.0, 1.0), rows=1), ("equal_opportunity",))
    entry = record["results"]["equal_opportunity"]
    assert (entry["score"], entry["group_scores"]) == (None, {})


@pytest.mark.parametrize(
    ("failed", "risk"), [(0, "low"), (1, "medium"), (2, "high"), (3, "critical"), (4, "critical")]
)
def test_risk_goes_by_the_number_of_failed_metrics(failed: int, risk: str) -> None:
    results = {str(index): {"passed": index >= failed} for index in range(5)}
    assert findings_of(results).overall_risk == risk


def test_no_metric_at_all_is_no_low_risk() -> None:
    assert findings_of({}).overall_risk == "unknown"
    assert findings_in({}).overall_risk == "unknown"
    assert findings_in({"metrics_passed": "many", "overall_risk": None}).metrics_passed == 0


def test_without_a_list_everything_judged_is_recorded_under_our_names() -> None:
    results = record_of(made_result())["results"]
    assert "equalized_odds_difference" in results
    assert len(results) == 6


def test_a_request_takes_what_fairmind_sends_and_ignores_what_it_adds() -> None:
    request = DetectRequest.model_validate(
        {"model_id": "m", "dataset_id": "d", "protected_attribute": "sex", "fairness_threshold": 0.7, "org_id": 3}
    )
    assert request.metrics == METRICS
    assert request.prediction_column == "prediction"
    assert [str(t.metric) for t in request.policy.tolerances] == ["demographic_parity_ratio"]  # no ground truth
    assert request.policy.tolerances[0].at_least == 0.7


@pytest.mark.parametrize("metrics", [["accuracy"], []])
def test_a_metric_nobody_knows_is_refused(metrics: list[str]) -> None:
    with pytest.raises(ValidationError, match="there are the metrics demographic_parity"):
        DetectRequest(model_id="m", dataset_id="d", protected_attribute="s", metrics=tuple(metrics))
