"""A worker whose model is somebody's server: its answers, its failures and its log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from bentos.readiness import readiness
from bentos.worker import Worker
from monitoring.metrics import REMOTE_CALLS
from remotes.files import write_remote
from tests.fakes.remote_servers import FakeRemote, oip, remote_server
from tests.unit.bentos.test_predict import spooled
from tests.unit.remotes.queues import model, telling
from tests.waiting import soon

Scenario = Callable[[httpx.AsyncClient, Worker, FakeRemote], Any]
ROWS = {"instances": [{"features": {"age": age, "income": 1.0}} for age in (20, 80)]}


def run(service: Any, tmp_path: Path, scenario: Scenario, **changes: Any) -> None:
    async def serve() -> None:
        async with remote_server(oip) as fake:
            folder = tmp_path / "remote"
            write_remote(folder, model("oip", fake.url, **changes))
            service.serve(folder)

            async def with_fake(client: httpx.AsyncClient, worker: Worker) -> None:
                await scenario(client, worker, fake)

            await service._run(with_fake)

    asyncio.run(serve())


def test_every_protocol_is_answered_by_the_server(service: Any, tmp_path: Path) -> None:
    async def scenario(client: httpx.AsyncClient, worker: Worker, fake: FakeRemote) -> None:
        ours = (await client.post("/predict", json=ROWS)).json()["predictions"]
        assert [(one["prediction"], one["probability"]) for one in ours] == [(0, 0.2), (1, 0.8)]
        assert {one["model_version"] for one in ours} == {"1"}
        inputs = [
            {"name": name, "datatype": "FP64", "shape": [2], "data": data}
            for name, data in (("age", [20, 80]), ("income", [1, 1]))
        ]
        tensors = (await client.post("/v2/models/credit/infer", json={"inputs": inputs})).json()["outputs"]
        assert tensors[0]["data"] == [0, 1]
        assert tensors[1]["data"] == pytest.approx([0.8, 0.2, 0.2, 0.8])
        table = {"dataframe_records": [one["features"] for one in ROWS["instances"]]}
        assert (await client.post("/invocations", json=table)).json() == {"predictions": [0, 1]}
        assert worker.metrics.value(REMOTE_CALLS, "credit", "1", "answered") == 3
        assert readiness(worker)[1]["problems"] == {}

    run(service, tmp_path, scenario)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ((500, {}), (502, "remote_error")),
        ((200, {}), (502, "remote_mismatch")),
        ((503, {}), (503, "remote_unavailable")),
        ((422, {"error": "no"}), (422, "model_refused")),
    ],
)
def test_a_failure_has_a_code_of_its_own_and_is_no_prediction(
    service: Any, tmp_path: Path, told: tuple[int, Any], expected: tuple[int, str]
) -> None:
    async def scenario(client: httpx.AsyncClient, worker: Worker, fake: FakeRemote) -> None:
        fake.behave = telling(*told)
        answer = await client.post("/predict", json=ROWS)
        assert (answer.status_code, answer.json()["error"]["code"]) == expected
        assert ("retry-after" in answer.headers) == (expected[0] == 503)

    run(service, tmp_path, scenario)
    assert spooled(tmp_path) == []


def test_a_server_that_takes_too_long_is_504(service: Any, tmp_path: Path) -> None:
    async def scenario(client: httpx.AsyncClient, worker: Worker, fake: FakeRemote) -> None:
        async def hang(_: Any) -> None:
            await asyncio.sleep(5)

        fake.behave = hang
        answer = await client.post("/predict", json=ROWS)
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "remote_timeout")

    run(service, tmp_path, scenario, timeout_seconds=0.05)


def test_another_version_is_logged_and_answered_under_a_name_of_its_own(service: Any, tmp_path: Path) -> None:
    async def scenario(client: httpx.AsyncClient, worker: Worker, fake: FakeRemote) -> None:
        await client.post("/predict", json=ROWS)
        fake.version = "4"
        answer = (await client.post("/predict", json=ROWS)).json()["predictions"]
        assert {one["model_version"] for one in answer} == {"1@4"}
        ready, told = readiness(worker)
        assert ready
        assert "reports version 4" in told["problems"]["credit/1"]

    run(service, tmp_path, scenario)
    assert [record["model_version"] for record in spooled(tmp_path)] == ["1", "1@4"]


def test_a_server_that_is_down_at_the_start_is_told_of_and_taken_when_it_is_there(
    service: Any, tmp_path: Path
) -> None:
    async def serve() -> None:
        async with remote_server(oip) as fake:
            port = fake.port
        write_remote(tmp_path / "remote", model("oip", f"http://127.0.0.1:{port}"))
        service.serve(tmp_path / "remote")

        async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
            await soon(lambda: "credit/1" in readiness(worker)[1]["problems"])
            ready, told = readiness(worker)
            assert ready
            assert "cannot be connected to" in told["problems"]["credit/1"]
            assert (await client.post("/predict", json=ROWS)).status_code == 503
            async with remote_server(oip, port):
                assert (await client.post("/predict", json=ROWS)).status_code == 200

        await service._run(scenario)

    asyncio.run(serve())


def test_the_signature_is_checked_here_before_anything_is_sent(service: Any, tmp_path: Path) -> None:
    async def scenario(client: httpx.AsyncClient, worker: Worker, fake: FakeRemote) -> None:
        rows = {"instances": [{"features": {"age": "old", "income": 1.0}}]}
        assert (await client.post("/predict", json=rows)).json()["error"]["code"] == "signature_mismatch"
        assert fake.calls == 0

    run(service, tmp_path, scenario)
