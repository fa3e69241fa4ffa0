"""The model repository extension: an index of what serves, and words for those who would load by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from bentos.worker import Worker

INDEX = "/v2/repository/index"


def entry(version: str, state: str = "READY", name: str = "credit") -> dict[str, str]:
    return {"name": name, "version": version, "state": state}


def test_the_index_lists_what_serves_and_what_should(
    service: Any, credit: Any, credit_challenger: Any, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    service.serve(credit, credit_challenger)
    service.serve(tmp_path / "empty", model="broken", version="7")
    service.serve(None, model="coming", version="3")

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        assert "model_repository" in (await client.get("/v2")).json()["extensions"]
        for request in ({}, {"json": {}}, {"json": {"ready": False}}):
            index = (await client.post(INDEX, **request)).json()
            reasons = {one["name"]: one.pop("reason") for one in index}
            assert index == [
                entry("1"),
                entry("2"),
                entry("7", "UNAVAILABLE", "broken"),
                entry("3", "UNAVAILABLE", "coming"),
            ]
            assert reasons["credit"] == ""
            assert "not here yet" in reasons["coming"]
            assert reasons["broken"]
        ready = (await client.post(INDEX, json={"ready": True})).json()
        assert [one["version"] for one in ready] == ["1", "2"]

    service.run(scenario)


def test_before_the_serving_state_is_there_the_index_is_empty(service: Any) -> None:
    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        answer = await client.post(INDEX)
        assert (answer.status_code, answer.json()) == (200, [])

    service.run(scenario)


@pytest.mark.parametrize("action", ["load", "unload"])
def test_loading_by_hand_is_refused_with_what_to_do_instead(service: Any, credit: Any, action: str) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        answer = await client.post(f"/v2/repository/models/credit/{action}", json={"parameters": {}})
        assert answer.status_code == 400
        assert "fairmind models promote" in answer.json()["error"]
        assert "FAIRMIND_BENTOS_MODELS" in answer.json()["error"]

    service.run(scenario)


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"ready": 1}', b"null", b'{"ready": null}', b"true"])
def test_a_body_that_is_no_question_is_400(service: Any, credit: Any, body: bytes) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        answer = await client.post(INDEX, content=body)
        assert (answer.status_code, set(answer.json())) == (400, {"error"})

    service.run(scenario)


def test_other_routes_and_methods_of_the_repository_are_4xx(service: Any, credit: Any) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        assert (await client.get(INDEX)).status_code == 405
        assert (await client.get("/v2/repository/models/credit/load")).status_code == 405
        assert (await client.post("/v2/repository")).status_code == 404
        assert (await client.post("/v2/repository/models/credit/reload")).status_code == 404

    service.run(scenario)
