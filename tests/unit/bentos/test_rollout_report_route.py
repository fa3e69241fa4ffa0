"""The report of a rollout over HTTP, and plans that are refused because they cannot pass."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert

from bentos.companion import Companion
from monitoring.tables import PREDICTION
from rollout.serving_store import follow_aliases, serving_epochs
from tests.fakes.registry import FakeRegistry
from tests.unit.bentos.api_answers import Api, start

GUARDED = {
    "model": "credit",
    "steps": [{"weight": 0.01, "max_duration": "1h"}],
    "guardrails": [{"metric": "selection_rate", "margin": 0.05}],
}


@pytest.fixture(autouse=True)
def served(companion: Companion, registry: FakeRegistry) -> None:
    follow_aliases(companion.control, registry.aliased(), datetime.now(UTC), seen=serving_epochs(companion.control))


def test_a_report_is_a_page_for_people(api: Api) -> None:
    rollout_id = start(api)["id"]
    answer = api("GET", f"/api/v1/rollouts/{rollout_id}/report")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert rollout_id in answer.text
    assert "Decision log: <strong>whole</strong>" in answer.text


def test_a_report_of_no_rollout_is_not_found(api: Api) -> None:
    assert api("GET", "/api/v1/rollouts/r-none/report").status_code == 404


def test_a_plan_that_cannot_pass_is_refused_unless_it_is_overridden(api: Api, companion: Companion) -> None:
    rows = [
        {
            "prediction_id": f"p{index}",
            "request_id": f"r{index}",
            "served_at": datetime.now(UTC) - timedelta(hours=23 - index),
            "model": "credit",
            "model_version": "1",
            "variant": "champion",
            "epoch": 1,
            "protocol": "predict",
            "unit_hash": f"u{index}",
            "prediction": 1,
            "latency_us": 1_000,
        }
        for index in range(20)
    ]
    with companion.log.begin() as connection:
        connection.execute(insert(PREDICTION), rows)
    refused = api("POST", "/api/v1/rollouts", json=GUARDED)
    assert refused.status_code == 422
    assert refused.json()["error"]["code"] == "underpowered_plan"
    assert "min_units" in refused.json()["error"]["message"]
    assert api("POST", "/api/v1/rollouts?override=a+drill", json=GUARDED).status_code == 201
