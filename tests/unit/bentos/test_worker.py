"""A worker follows the serving state: loads before it switches, keeps what works, and fails to the champion."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from bentos import loaded
from bentos.worker import HEARTBEAT_SECONDS, Worker


def _has_weight(worker: Worker, weight_bp: int) -> bool:
    return worker.models["credit"].weight_bp == weight_bp


async def until(claim: Any, seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not claim():
            await asyncio.sleep(0.02)


def test_before_there_is_a_state_the_worker_is_not_ready_and_says_why(service: Any) -> None:
    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        response = await client.get("/readyz")
        assert response.status_code == 503
        assert "Companion" in response.json()["problems"]["serving_state"]
        predicted = await client.post("/predict", json={"instances": [{"features": {}}]})
        assert (predicted.status_code, predicted.json()["error"]["code"]) == (503, "not_ready")
        assert (await client.get("/livez")).status_code == 200

    service.run(scenario)


def test_a_promotion_is_followed_without_a_failed_request(
    service: Any, credit: Any, credit_challenger: Any
) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        versions: list[str] = []
        done = asyncio.Event()

        async def ask() -> None:
            while not done.is_set():
                response = await client.post("/predict", json={"instances": credit.instances(2)})
                assert response.status_code == 200
                versions.append(response.json()["predictions"][0]["model_version"])
                await asyncio.sleep(0)

        asking = [asyncio.create_task(ask()) for _ in range(4)]
        await until(lambda: len(versions) > 20)
        service.serve(credit_challenger, version="2", epoch=2)
        await until(lambda: versions[-1] == "2")
        done.set()
        await asyncio.gather(*asking)
        assert set(versions) == {"1", "2"}
        assert versions.index("2") > len(versions) - versions[::-1].index("1") - 10  # at most what was in flight

    service.run(scenario)


def test_a_version_that_does_not_load_never_replaces_one_that_works(
    service: Any, credit: Any, tmp_path: Path
) -> None:
    service.serve(credit)
    broken = tmp_path / "broken" / "fairmind"
    broken.mkdir(parents=True)
    (broken / "signature.json").write_text("{")

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        service.serve(broken.parent, version="2", epoch=2)
        await until(lambda: "did not load" in worker.problems.get("credit/2", ""))
        ready = await client.get("/readyz")
        assert ready.status_code == 200
        assert "did not load" in ready.json()["problems"]["credit/2"]
        answer = await client.post("/predict", json={"instances": credit.instances(1)})
        assert answer.json()["predictions"][0]["model_version"] == "1"

    service.run(scenario)


def test_a_version_whose_files_are_still_being_fetched_leaves_the_old_one_serving(
    service: Any, credit: Any
) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        service.serve(None, version="2", epoch=2)
        await until(lambda: "credit/2" in worker.problems)
        assert worker.models["credit"].champion.version == "1"

    service.run(scenario)


def test_a_state_that_is_not_renewed_leaves_everybody_with_the_champion(
    service: Any, credit: Any, credit_challenger: Any
) -> None:
    service.serve(credit, credit_challenger, weight_bp=5000)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        assert worker.models["credit"].splits
        service.age_state(HEARTBEAT_SECONDS + 1)
        await until(lambda: worker.is_stale)
        body = {"instances": [one | {"unit": f"u{i}"} for i, one in enumerate(credit.instances(50))]}
        answers = (await client.post("/predict", json=body)).json()["predictions"]
        assert {answer["variant"] for answer in answers} == {"champion"}
        assert "champion" in (await client.get("/readyz")).json()["problems"]["companion"]
        service.serve(credit, credit_challenger, weight_bp=5000, epoch=2)
        await until(lambda: not worker.is_stale)
        assert worker.models["credit"].splits

    service.run(scenario)


def test_a_damaged_state_file_changes_nothing_served(service: Any, credit: Any) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        service.state_file.write_text("{")
        await asyncio.sleep(0.5)
        assert (await client.post("/predict", json={"instances": credit.instances(1)})).status_code == 200

    service.run(scenario)


def test_without_a_companion_its_routes_are_503_and_the_rest_falls_through(service: Any, credit: Any) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        assert (await client.get("/api/v1/models")).status_code == 503
        assert (await client.get("/schema.json")).status_code == 418

    service.run(scenario)


def test_a_version_that_loads_slowly_delays_no_abort(
    service: Any, credit: Any, credit_challenger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.serve(credit, credit_challenger, weight_bp=5000)
    real = loaded.load_model

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        release = threading.Event()

        def slow(folder: Path) -> Any:
            release.wait(10)
            return real(folder)

        monkeypatch.setattr(loaded, "load_model", slow)
        assert worker.models["credit"].splits
        service.serve(credit, version="3", model="other")  # takes its time
        service.serve(credit, credit_challenger, weight_bp=0, epoch=2)
        await until(lambda: not worker.models["credit"].splits, seconds=2)
        assert worker.problems == {"other/3": "is being loaded"}
        release.set()
        await until(lambda: "other" in worker.models)

    service.run(scenario)


def test_two_changes_of_one_length_are_both_followed(service: Any, credit: Any, credit_challenger: Any) -> None:
    service.serve(credit, credit_challenger, weight_bp=2000)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for weight_bp in (1000, 3000, 2000, 4000):
            service.serve(credit, credit_challenger, weight_bp=weight_bp)
            await until(partial(_has_weight, worker, weight_bp))

    service.run(scenario)


def test_a_state_file_that_vanished_leaves_everybody_with_the_champion(
    service: Any, credit: Any, credit_challenger: Any
) -> None:
    service.serve(credit, credit_challenger, weight_bp=5000)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        service.state_file.unlink()
        await until(lambda: worker.is_stale)
        assert not worker.models["credit"].splits

    service.run(scenario)


def test_a_number_given_again_to_other_files_is_another_version(
    service: Any, credit: Any, credit_challenger: Any
) -> None:
    service.serve(credit, digest="sha256:a")

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        service.serve(credit_challenger, digest="sha256:b", epoch=2)
        await until(lambda: worker.models["credit"].champion.digest == "sha256:b")
        answer = await client.post("/predict", json={"instances": credit.instances(1)})
        expected = credit_challenger.model.predict_proba(credit.frame.head(1))[0, 1]
        assert answer.json()["predictions"][0]["probability"] == pytest.approx(expected, abs=1e-9)

    service.run(scenario)
