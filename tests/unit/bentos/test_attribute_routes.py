"""Attributes, coverage and the gauges of live bias, over the API of a deployment that served some people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bentos.companion import Companion
from monitoring.predictions import SegmentWriter
from monitoring.units import unit_hash
from tests.fakes.records import prediction_record
from tests.fakes.registry import FakeRegistry
from tests.unit.bentos.api_answers import Api, refused

ROWS = 120


@pytest.fixture(autouse=True)
def served(companion: Companion) -> None:
    companion.loops["registry"][0]()
    segment = SegmentWriter(companion.home.spool, segment_bytes=1_000_000, spool_bytes=10_000_000)
    now = datetime.now(UTC)
    key = companion.unit_salt.encode()
    segment.append(
        [
            prediction_record(
                "r",
                ROWS,
                served_at=(now - timedelta(minutes=10)).timestamp(),
                predictions=[1 if i % 2 or i % 3 == 0 else 0 for i in range(ROWS)],
                protected=[{"sex": "f" if i % 2 else "m"} for i in range(ROWS)],
                unit_hashes=[unit_hash(key, f"person-{i}") for i in range(ROWS)],
                caller_ids=[f"c{i}" for i in range(ROWS)],
            )
        ]
    )
    segment.close()
    companion.loops["shipper"][0]()


def gauges(api: Api, companion: Companion, name: str) -> dict[tuple[str, ...], float]:
    companion.loops["bias-gauges"][0]()
    families = text_string_to_metric_families(api("GET", "/metrics").text)
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
        if sample.name == name
    }


def coverage(api: Api) -> dict[str, Any]:
    found: dict[str, Any] = api("GET", "/api/v1/outcomes/coverage?model=credit").json()
    return found


def test_coverage_is_told_by_variant_and_group(api: Api) -> None:
    outcomes = [{"prediction_id": f"r-{i}", "outcome": 1} for i in range(0, ROWS, 4)]
    assert api("POST", "/api/v1/outcomes", json=outcomes).json()["unmatched"] == 0
    told = coverage(api)
    assert (told["predictions"], told["with_outcome"], told["coverage"]) == (ROWS, ROWS // 4, 0.25)
    (champion,) = told["variants"]
    assert 590 < champion["median_delay_seconds"] < 700
    assert champion["groups"] == [
        {"attribute": "sex", "group": "f", "predictions": 60, "with_outcome": 0, "coverage": 0.0},
        {"attribute": "sex", "group": "m", "predictions": 60, "with_outcome": 30, "coverage": 0.5},
    ]
    assert refused(api("GET", "/api/v1/outcomes/coverage?model=nope"))[:2] == (404, "model_not_found")
    assert refused(api("GET", "/api/v1/outcomes/coverage"))[:2] == (422, "invalid_request")


def test_attributes_come_by_prediction_by_caller_and_by_unit(api: Api) -> None:
    told = [
        {"prediction_id": "r-0", "protected": {"age": "old"}},
        {"model": "credit", "id": "c1", "protected": {"age": "young"}},
        {"unit": "person-2", "protected": {"age": "old", "sex": "x"}},
        {"unit": "nobody", "protected": {"age": "old"}},
    ]
    assert api("POST", "/api/v1/attributes", json=told).json() == {"accepted": 4, "repeated": 0, "unmatched": 1}
    assert api("POST", "/api/v1/attributes", json=told).json() == {"accepted": 0, "repeated": 4, "unmatched": 1}
    groups = {
        (group["attribute"], group["group"]): group["predictions"]
        for group in coverage(api)["variants"][0]["groups"]
    }
    assert groups == {
        ("age", "old"): 2,
        ("age", "young"): 1,
        ("age", "unknown"): ROWS - 3,
        ("sex", "f"): 60,  # what the request said of a person comes before what is said of the unit
        ("sex", "m"): 60,
    }


@pytest.mark.parametrize(
    "body",
    [
        [],
        [{"prediction_id": "r-0"}],
        [{"prediction_id": "r-0", "protected": {}}],
        [{"prediction_id": "r-0", "unit": "u", "protected": {"sex": "f"}}],
        [{"model": "credit", "protected": {"sex": "f"}}],
        [{"model": "credit", "unit": "u", "protected": {"sex": "f"}}],
        [{"unit": "u", "protected": {"sex": "\0"}}],
        [{"unit": "u", "protected": {"sex": "f"}, "colour": 1}],
        [{"unit": "u", "protected": {"sex": 1}}],
    ],
)
def test_attributes_of_nothing_or_of_two_things_are_refused(api: Api, body: Any) -> None:
    assert refused(api("POST", "/api/v1/attributes", json=body))[:2] == (422, "invalid_request")


def test_where_no_label_is_named_the_gauges_are_the_rates_of_the_second_class(
    api: Api, companion: Companion
) -> None:
    rates = gauges(api, companion, "fairmind_selection_rate_ratio")
    assert rates == {
        ("sex", "f", "credit", "champion"): 1.0,
        ("sex", "m", "credit", "champion"): pytest.approx(1 / 3),
    }
    assert gauges(api, companion, "fairmind_bias_verdict") == {}


def test_bias_is_judged_where_the_version_names_its_favourable_label(
    api: Api, companion: Companion, registry: FakeRegistry
) -> None:
    registry.set_tag("credit", "1", "fairmind.favourable", "1")
    assert gauges(api, companion, "fairmind_bias_verdict") == {("sex", "credit", "champion", "fail"): 1.0}
    ratios = gauges(api, companion, "fairmind_bias_metric_ratio")
    assert ratios["sex", "demographic_parity_ratio", "credit", "champion"] == pytest.approx(1 / 3)
