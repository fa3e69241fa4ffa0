"""From a bias test to its record: who, what and the numbers under names that say whose they are."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from assessment import store
from assessment.bias_test import run
from assessment.request import BiasTestRequest
from assessment.result import BiasTestResult
from assessment.tracked import RecordStore, tracked
from tests.fakes.databases import migrated_engine
from tracking.record import BiasTestRecord
from tracking.run_content import HTML_FILE, run_content


def result(**more: Any) -> BiasTestResult:
    people = [(group, row % 2) for group in ("1", "2") for row in range(400)]
    request = {
        "favourable": 1,
        "instances": [{"protected": {"SEX": group}, "outcome": label} for group, label in people],
        "predictions": [label if group == "1" else 0 for group, label in people],
        **more,
    }

    def no_scorer(_: BiasTestRequest) -> Any:
        raise AssertionError

    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return run(BiasTestRequest.model_validate(request), no_scorer, test_id="t", created_at=moment)


def test_a_test_has_its_numbers_parameters_and_verdict() -> None:
    content = run_content(
        tracked(result(model="credit", version="7").model_copy(update={"dataset": "people"}), user_id="ada")
    )
    expected = {"test_id": "t", "model_id": "credit", "dataset_id": "people", "model_version": "7", "rows": 800}
    assert expected.items() <= content.params.items()
    assert content.params["protected_attributes"] == "SEX"
    assert (content.tags["verdict"], content.tags["bias_detected"]) == ("fail", "true")
    assert content.tags["risk_level"] in {"medium", "high", "critical"}
    name = "attributes_SEX_disparities_demographic_parity_difference_value"
    assert content.measurements.metrics[name] == 0.5


def test_the_report_for_people_goes_along() -> None:
    assert "<svg" in run_content(tracked(result())).files[HTML_FILE]


def test_records_of_fairminds_python_api_are_kept_among_all_tests(tmp_path: Path) -> None:
    control = migrated_engine(tmp_path / "control.db", "control")
    found = {"overall_risk": "high", "metrics_passed": 1, "metrics_failed": 3, "summary": "1 of 4 passed"}
    record = BiasTestRecord.of(
        "t-1", "gpt", "llm_bias", found, {"prompts": 20}, user_id="ada", dataset_id="prompts"
    )
    for _ in range(2):
        RecordStore(control).save(record)
    (kept,), total = store.listed(control)
    assert total == 1
    assert (kept.id, kept.model, kept.user_id, kept.dataset_id) == ("t-1", "gpt", "ada", "prompts")
    assert kept.findings is not None
    assert (kept.findings.overall_risk, kept.findings.metrics_failed) == ("high", 3)
    assert kept.details == {"prompts": 20}
    assert store.find(control, "t-1").record == found


def test_no_name_of_a_model_fails_a_test() -> None:
    assert tracked(result()).model_id == "unnamed"
    assert tracked(result(model="m" * 1_000)).model_id == "m" * 500
