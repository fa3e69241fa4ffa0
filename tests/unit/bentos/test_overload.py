"""More requests than a worker can answer in time: what is refused is refused at once, and unread."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx
import pytest

from bentos.worker import Worker
from monitoring.metrics import REQUESTS


def test_one_request_too_many_is_refused_before_its_body_is_read(service: Any, credit: Any) -> None:
    service.serve(credit)
    service.serving = service.serving.model_copy(update={"max_in_flight": 1})
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow_body() -> Any:
        arrived.set()
        await go_on.wait()
        yield b'{"instances": []}'

    async def unread_body() -> Any:
        raise AssertionError("the body was asked for")
        yield b""

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        first = asyncio.create_task(client.post("/predict", content=slow_body()))
        await arrived.wait()
        refused = await client.post("/predict", content=unread_body())
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
        assert "FAIRMIND_BENTOS_MAX_IN_FLIGHT" in refused.json()["error"]["message"]
        assert int(refused.headers["retry-after"]) >= 1
        other = await client.post("/v2/models/credit/infer", content=unread_body())
        assert other.status_code == 429
        assert isinstance(other.json()["error"], str)
        v1 = await client.post("/v1/models/credit:predict", content=unread_body())
        assert (v1.status_code, set(v1.json())) == (429, {"error"})
        for path in ("/invocations", "/models/credit/invocations"):
            mlflow = await client.post(path, content=unread_body())
            assert (mlflow.status_code, mlflow.json()["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
        assert (await client.get("/readyz")).status_code == 200
        assert (await client.get("/v2/health/ready")).status_code == 200
        go_on.set()
        assert (await first).status_code == 422
        assert (await client.post("/predict", json={"instances": credit.instances(1)})).status_code == 200
        assert worker.metrics.value(REQUESTS, "", "predict", "503") == 1

    service.run(scenario)


def test_the_access_log_is_off_and_a_setting_brings_it_back_without_a_value_of_a_row(
    service: Any, credit: Any, caplog: pytest.LogCaptureFixture
) -> None:
    service.serve(credit)

    async def ask(client: httpx.AsyncClient, worker: Worker) -> str:
        body = {"instances": credit.instances(1, unit="person-17")}
        response = await client.post("/predict?token=secret", json=body)
        return response.headers["x-fairmind-prediction-id"]

    with caplog.at_level(logging.INFO, "fairmind.access"):
        service.run(ask)
        assert not caplog.records
        service.serving = service.serving.model_copy(update={"access_log": True})
        request = service.run(ask)
    (line,) = [record.getMessage() for record in caplog.records if record.name == "fairmind.access"]
    assert line.startswith("POST /predict 200 ")
    assert line.endswith(f"request {request}")
    assert "person-17" not in line
    assert "secret" not in line
