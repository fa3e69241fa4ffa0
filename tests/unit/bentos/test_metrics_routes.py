"""`/metrics`: state that is gone vanishes, and refused rows are counted by what was wrong with them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bentos.companion import Companion
from bentos.worker import Worker
from inference.errors import Mismatch
from monitoring.metrics import IN_FLIGHT, IN_FLIGHT_LIMIT, MISMATCHES
from rollout.serving_store import follow_aliases, serving_epochs
from tests.fakes.registry import FakeRegistry
from tests.unit.bentos.api_answers import Api

ROW = {"age": 40.0, "amount": 3000.0, "job": "smith"}


def follow(companion: Companion, registry: FakeRegistry) -> None:
    follow_aliases(companion.control, registry.aliased(), datetime.now(UTC), seen=serving_epochs(companion.control))


def told(api: Api, name: str) -> list[tuple[dict[str, str], float]]:
    return [
        (sample.labels, sample.value)
        for family in text_string_to_metric_families(api("GET", "/metrics").text)
        for sample in family.samples
        if sample.name == name
    ]


def test_a_version_that_is_retired_vanishes_at_the_next_scrape(
    api: Api, companion: Companion, registry: FakeRegistry
) -> None:
    follow(companion, registry)
    versions = {labels["model_version"] for labels, _ in told(api, "fairmind_model_info")}
    assert versions == {"1", "2"}
    registry.set_alias("credit", "champion", "2")
    follow(companion, registry)
    assert [labels["model_version"] for labels, _ in told(api, "fairmind_model_info")] == ["2"]
    registry.delete_alias("credit", "champion")
    follow(companion, registry)
    assert told(api, "fairmind_model_info") == told(api, "fairmind_traffic_weight_ratio") == []


def test_a_registry_that_is_away_and_loops_that_fail_are_told(api: Api, companion: Companion) -> None:
    assert told(api, "fairmind_registry_up") == [({}, 1)]
    companion.problems |= {"registry": "it is away", "shipper": "it fails", "versions": "one is not here"}
    assert told(api, "fairmind_registry_up") == [({}, 0)]
    assert told(api, "fairmind_companion_problems") == [({}, 2)]


@pytest.mark.parametrize(
    ("features", "kind"),
    [
        ({"age": 40.0, "amount": 3000.0}, Mismatch.MISSING_COLUMN),
        (ROW | {"shoes": 1}, Mismatch.UNKNOWN_COLUMN),
        (ROW | {"job": None}, Mismatch.MISSING_VALUE),
        (ROW | {"age": "forty"}, Mismatch.WRONG_TYPE),
        (ROW | {"age": 1e200}, Mismatch.OUT_OF_RANGE),
        (ROW | {"job": "pilot"}, Mismatch.UNKNOWN_CATEGORY),
        ("forty", Mismatch.SHAPE),
    ],
)
def test_a_row_that_does_not_fit_is_counted_by_what_is_wrong(
    service: Any, credit: Any, features: Any, kind: Mismatch
) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        assert (await client.post("/predict", json={"instances": [{"features": ROW}]})).status_code == 200
        refused = await client.post("/predict", json={"instances": [{"features": ROW}, {"features": features}]})
        assert refused.status_code == 422
        counted = {code: worker.metrics.value(MISMATCHES, "credit", code) for code in Mismatch}
        assert {code for code, count in counted.items() if count} == {kind}
        assert counted[kind] == 1

    service.run(scenario)


def test_tensors_that_do_not_fit_are_counted_the_same(service: Any, credit: Any) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        inputs = [
            {"name": "age", "datatype": "FP64", "shape": [1], "data": [40.0]},
            {"name": "amount", "datatype": "FP64", "shape": [1], "data": [3000.0]},
            {"name": "job", "datatype": "BYTES", "shape": [1], "data": ["pilot"]},
        ]
        refused = await client.post("/v2/models/credit/infer", json={"inputs": inputs})
        assert refused.status_code == 400
        assert worker.metrics.value(MISMATCHES, "credit", "unknown_category") == 1

    service.run(scenario)


def test_a_worker_tells_how_many_requests_it_answers_and_may_answer(service: Any, credit: Any) -> None:
    service.serve(credit)

    async def scenario(_client: httpx.AsyncClient, worker: Worker) -> None:
        gauges = {name: value for name, *_, value in worker.metrics.content()["gauge"]}
        assert gauges[IN_FLIGHT] == 0
        assert gauges[IN_FLIGHT_LIMIT] == service.serving.max_in_flight

    service.run(scenario)
