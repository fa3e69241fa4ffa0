"""The record: what comes back from disk is what was kept, and its name at a provider is its content's."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.tracking.conftest import make_record
from tracking.record import BiasTestRecord
from tracking.run_content import HTML_FILE, JSON_FILE, run_content

VALUES = st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(), st.text())


@given(st.dictionaries(st.text(max_size=5), VALUES))
def test_a_record_survives_the_disk_with_its_name(results: dict[str, Any]) -> None:
    record = make_record(results=results)
    again = BiasTestRecord.model_validate_json(record.model_dump_json())
    assert again.delivery_id == record.delivery_id
    assert repr(again.model_dump(exclude={"created_at"})) == repr(record.model_dump(exclude={"created_at"}))
    assert again.created_at == record.created_at


def test_the_same_test_has_one_delivery_id_whenever_it_is_sent_and_another_test_another() -> None:
    first = make_record()
    assert make_record(created_at=datetime.now(UTC), html=None).delivery_id == first.delivery_id
    assert make_record(results={"accuracy": 0.1}).delivery_id != first.delivery_id
    assert make_record("t-2").delivery_id != first.delivery_id


def test_names_of_runs_differ_where_the_first_letters_of_ids_do_not() -> None:
    names = {make_record(f"ml-test-2026-{number}").run_name for number in range(50)}
    assert len(names) == 50
    assert all(name.startswith("ml_bias_ml-test-2026-") for name in names)


def test_numpy_becomes_pythons_own_and_what_json_does_not_know_text() -> None:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    record = BiasTestRecord.of(
        "t", "m", "llm_bias", {"a": np.float32(0.5), "b": np.arange(2), 3: (np.int64(7), None)}, {"at": moment}
    )
    assert record.results == {"a": 0.5, "b": [0, 1], "3": [7, None]}
    assert record.metadata == {"at": str(moment)}


@pytest.mark.parametrize(("test_type", "results"), [("other", {}), ("ml_bias", {"a": "x"})])
def test_a_record_of_another_type_or_without_an_id_is_refused(test_type: str, results: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"BiasTestType|at least 1 character"):
        BiasTestRecord.of("", "m", test_type, results)


def test_halves_of_characters_that_a_model_has_said_are_question_marks() -> None:
    record = BiasTestRecord.of("t", "m", "llm_bias", {"said\ud800": ["Größe \udc00"]})
    assert record.results == {"said?": ["Größe ?"]}
    assert BiasTestRecord.model_validate_json(record.model_dump_json()).delivery_id == record.delivery_id


def test_results_nested_without_end_are_refused() -> None:
    deep: dict[str, Any] = {}
    deep["deep"] = deep
    with pytest.raises(ValueError, match="64 deep"):
        BiasTestRecord.of("t", "m", "ml_bias", deep)


def test_the_content_of_a_run_has_params_tags_summary_and_files() -> None:
    record = make_record()
    content = run_content(record)
    assert content.params == {
        "test_id": "t-1",
        "model_id": "credit",
        "test_type": "ml_bias",
        "dataset_id": "people",
        "model_version": "3",
        "rows": 12,
        "metadata_test_id": "another",
    }
    assert content.tags == {
        "test_type": "ml_bias",
        "model_id": "credit",
        "project": "fairmind",
        "bias_detected": "true",
        "risk_level": "high",
        "verdict": "fail",
        "metrics_not_finite": "groups_female_ratio",
    }
    assert content.summary == {"rows": 12, "verdict": "fail", "bias_detected": True, "risk_level": "high"}
    assert content.measurements.metrics["groups_female_selection_rate"] == 0.25
    assert content.files[HTML_FILE] == "<p>Größe</p>"


def test_the_json_file_is_json_for_every_reader() -> None:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    told = json.loads(run_content(make_record()).files[JSON_FILE], parse_constant=refuse)
    assert told["results"]["groups"]["female"] == {"selection_rate": 0.25, "ratio": None}
    assert math.isnan(make_record().results["groups"]["female"]["ratio"])
    assert "html" not in told
