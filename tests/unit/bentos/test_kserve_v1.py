"""KServe's first protocol: predictions, readiness, refusals in its words."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from bentos.worker import Worker

PREDICT = "/v1/models/credit:predict"
ROW = {"age": 41.0, "amount": 2.0, "job": "nurse"}


def test_objects_and_lists_are_predicted_as_the_model_does(service: Any, credit: Any) -> None:
    service.serve(credit)
    frame = credit.frame.head(6)
    expected = {"predictions": credit.model.predict(frame).tolist()}

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for instances in (frame.to_dict("records"), frame.values.tolist()):
            answer = await client.post(PREDICT, json={"instances": instances, "signature_name": "serving_default"})
            assert (answer.status_code, answer.json()) == (200, expected)
            assert answer.headers["x-fairmind-model-version"] == "1"

    service.run(scenario)


def test_a_version_or_an_alias_may_be_asked_for(service: Any, credit: Any, credit_challenger: Any) -> None:
    service.serve(credit, credit_challenger)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for path in ("/v1/models/credit/versions/2:predict", "/v1/models/credit@challenger:predict"):
            answer = await client.post(path, json={"instances": [ROW]})
            assert answer.headers["x-fairmind-model-version"] == "2"

    service.run(scenario)


def test_models_say_whether_they_are_ready(service: Any, credit: Any) -> None:
    async def before(client: httpx.AsyncClient, worker: Worker) -> None:
        assert (await client.get("/v1/models")).json() == {"models": []}
        assert (await client.get("/v1/models/credit")).status_code == 503

    async def after(client: httpx.AsyncClient, worker: Worker) -> None:
        assert (await client.get("/v1/models")).json() == {"models": ["credit"]}
        assert (await client.get("/v1/models/credit")).json() == {"name": "credit", "ready": True}
        assert (await client.get("/v1/models/nope")).status_code == 404

    service.run(before)
    service.serve(credit)
    service.run(after)


@pytest.mark.parametrize(
    ("status", "method", "path", "body"),
    [
        (400, "POST", PREDICT, {}),
        (400, "POST", PREDICT, []),
        (400, "POST", PREDICT, {"instances": []}),
        (400, "POST", PREDICT, {"instances": ROW}),
        (400, "POST", PREDICT, {"instances": [ROW, {"age": 1.0}]}),
        (400, "POST", PREDICT, {"instances": [[1.0, 2.0]]}),
        (404, "POST", "/v1/models/nope:predict", {"instances": [ROW]}),
        (404, "POST", "/v1/models/credit/versions/9:predict", {"instances": [ROW]}),
        (404, "POST", "/v1/models:predict", {"instances": [ROW]}),
        (404, "GET", "/v1/models/", None),
        (404, "GET", "/v1/nothing", None),
        (405, "GET", PREDICT, None),
        (405, "POST", "/v1/models/credit", {}),
    ],
)
def test_what_is_wrong_is_a_4xx_with_one_sentence(
    service: Any, credit: Any, status: int, method: str, path: str, body: Any
) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        answer = await client.request(method, path, json=body)
        assert (answer.status_code, set(answer.json())) == (status, {"error"})
        assert type(answer.json()["error"]) is str

    service.run(scenario)
