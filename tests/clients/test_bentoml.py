"""BentoML's own clients, and what they read before they ask: the schema of the routes."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from bentos.messages import BiasTestAnswer, Instance, PredictAnswer, Prediction
from tests.clients.conftest import MODEL, Drive, Server

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def found(drive: Drive, server: Server) -> Any:
    rows = server.rows(50)
    labels, _ = server.expected(50)
    labelled = [
        {"features": row, "outcome": label, "protected": {"sex": "fm"[place % 2]}}
        for place, (row, label) in enumerate(zip(rows, labels, strict=True))
    ]
    return drive("bentoml", rows=rows, labelled=labelled)


def test_both_clients_predict_what_the_model_does(found: Any, server: Server) -> None:
    for answer in (found["sync"]["predict"], *found["async"]["predict"]):
        labels, scores = server.expected(50)
        assert [one["prediction"] for one in answer["predictions"]] == labels
        assert [one["probability"] for one in answer["predictions"]] == pytest.approx(scores, abs=1e-12)
        PredictAnswer.model_validate(answer, strict=True, extra="forbid")


def test_both_clients_test_for_bias(found: Any) -> None:
    for answer in (found["sync"]["bias_test"], found["async"]["bias_test"]):
        assert (answer["model"], answer["rows"], answer["attributes"][0]["attribute"]) == (MODEL, 50, "sex")
        BiasTestAnswer.model_validate(answer, strict=True, extra="forbid")


def test_the_client_tells_what_was_wrong(found: Any) -> None:
    refusals = {case: found["sync"][case] for case in ("wrong row", "wrong model", "wrong test")}
    assert {case: status for case, (status, _) in refusals.items()} == {
        "wrong row": "422",
        "wrong model": "404",
        "wrong test": "422",
    }
    assert "row 0" in refusals["wrong row"][1]
    assert "old" not in refusals["wrong row"][1]
    assert "nobody" in refusals["wrong model"][1]


def test_the_schema_names_every_field_of_both_routes(found: Any, server: Server) -> None:
    assert found["sync"]["ready"] is True
    assert found["sync"]["routes"] == ["bias_test", "predict"]
    routes = {one["name"]: one for one in httpx.get(f"{server.url}/schema.json", trust_env=False).json()["routes"]}
    assert set(routes["predict"]["input"]["properties"]) == {"instances", "model"}
    instance = routes["predict"]["input"]["properties"]["instances"]["items"]["properties"]
    assert set(instance) == set(Instance.model_fields)
    assert all(field["description"] for field in instance.values())
    assert set(routes["predict"]["output"]["properties"]) == set(PredictAnswer.model_fields)
    assert set(routes["bias_test"]["output"]["properties"]) == set(BiasTestAnswer.model_fields)
    assert {"favourable", "instances", "window", "policy"} <= set(routes["bias_test"]["input"]["properties"])
    answer = routes["predict"]["output"]["properties"]["predictions"]["items"]["properties"]
    assert set(answer) == set(Prediction.model_fields)
    # Labels are of any type: BentoML would tell the first of several types as the only one.
    labels = (
        answer["prediction"],
        *(routes["bias_test"][way]["properties"]["favourable"] for way in ("input", "output")),
    )
    assert all("type" not in label for label in labels)
    page = httpx.get(f"{server.url}/docs.json", trust_env=False).json()
    assert {"/predict", "/bias_test"} <= set(page["paths"])
