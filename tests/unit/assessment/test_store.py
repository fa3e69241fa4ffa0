"""Bias tests in the database: what is kept comes back, is found by what it is, and is counted."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from assessment import store
from assessment.errors import BiasTestNotFoundError
from assessment.fairmind import findings_in, findings_of, record_of
from assessment.result import BiasTestResult
from assessment.store import Asked
from assessment.stored import BiasTestState
from tests.unit.assessment.conftest import NOW, made_result
from tracking.record import BiasTestType


def keep(control: Engine, result: BiasTestResult) -> None:
    record = record_of(result)
    store.keep(control, result, record, findings_of(record["results"]), Asked("ada", details={"alpha": 0.05}))


def test_what_is_kept_comes_back_as_it_was(control: Engine) -> None:
    result = made_result()
    keep(control, result)
    found = store.find(control, "t-1")
    assert found.result is not None
    assert BiasTestResult.model_validate(found.result) == result
    assert (found.state, found.progress, found.user_id, found.model, found.verdict) == (
        BiasTestState.DONE,
        1.0,
        "ada",
        "credit",
        "pass",
    )
    assert found.record == record_of(result)
    assert found.to_dict()["metadata"] == {"alpha": 0.05}
    assert found.created_at == found.finished_at == NOW


def test_an_unknown_id_is_not_found(control: Engine) -> None:
    with pytest.raises(BiasTestNotFoundError, match="no bias test 'nope'"):
        store.find(control, "nope")


def test_tests_are_listed_newest_first_by_model_verdict_and_time_in_pages(control: Engine) -> None:
    for index in range(5):
        rates = (0.5, 0.5) if index % 2 else (0.8, 0.2)
        at = NOW + timedelta(hours=index)
        keep(control, made_result(f"t-{index}", model="ab"[index % 2], rates=rates, created_at=at))

    def ids(**wanted: object) -> tuple[list[str], int]:
        found, total = store.listed(control, **wanted)  # type: ignore[arg-type] # each test names what it wants
        return [test.id for test in found], total

    assert ids() == (["t-4", "t-3", "t-2", "t-1", "t-0"], 5)
    assert ids(limit=2, offset=1) == (["t-3", "t-2"], 5)
    assert ids(model="b") == (["t-3", "t-1"], 2)
    assert ids(verdict="fail") == (["t-4", "t-2", "t-0"], 3)
    assert ids(since=NOW + timedelta(hours=3)) == (["t-4", "t-3"], 2)
    assert ids(model="b", verdict="fail") == ([], 0)
    assert ids(test_type="llm_bias") == ([], 0)


def test_a_record_of_somebody_else_is_kept_once_with_what_it_says_of_itself(control: Engine) -> None:
    record = {"overall_risk": "high", "metrics_passed": 1, "metrics_failed": 2, "summary": "so so", "results": {}}
    asked = Asked("ada", BiasTestType.LLM_BIAS, "ds", {"k": "v"})

    def again(summary: str) -> bool:
        return store.keep_record(
            control,
            "theirs",
            model_id="llm",
            asked=asked,
            record=record,
            findings=findings_in(record | {"summary": summary}),
            now=NOW,
        )

    assert again("so so")
    assert not again("other")
    found = store.find(control, "theirs")
    assert found.findings is not None
    assert (found.test_type, found.result, found.record, found.findings.summary) == (
        BiasTestType.LLM_BIAS,
        None,
        record,
        "so so",
    )
    assert found.to_dict()["record"] == record


def test_statistics_count_tests_and_metrics(control: Engine) -> None:
    keep(control, made_result("t-1"))
    keep(control, made_result("t-2", rates=(0.8, 0.2)))
    keep(control, made_result("t-3", model="other", rates=(0.5,)))
    everything = store.statistics(control)
    assert (everything.total, everything.by_type) == (3, {"ml_bias": 3})
    assert everything.by_risk == {"low": 1, "critical": 1, "unknown": 1}
    assert (everything.metrics_passed, everything.metrics_failed) == (6, 6)
    assert store.statistics(control, "other").by_risk == {"unknown": 1}
    assert store.statistics(control, "none").total == 0


def test_what_is_learned_later_stands_beside_what_was_known(control: Engine) -> None:
    keep(control, made_result())
    store.note(control, "t-1", {"mlflow_run_id": "abc"})
    store.note(control, "t-1", {"wandb_run_id": "def"})
    assert store.find(control, "t-1").to_dict()["metadata"] == {
        "alpha": 0.05,
        "mlflow_run_id": "abc",
        "wandb_run_id": "def",
    }


def test_what_is_learned_of_a_test_that_is_not_kept_here_is_no_error(control: Engine) -> None:
    store.note(control, "of-the-command-line", {"mlflow_run_id": "abc"})
    assert store.listed(control) == ([], 0)
