"""The Open Inference Protocol over gRPC: the answers."""

from __future__ import annotations

import json
from typing import Any

import httpx
import numpy as np
import pytest

from bentos.grpc_tensors import parameters_of
from inference.grpc_messages import message_type
from monitoring.metrics import PREDICTIONS, REQUESTS
from tests.unit.bentos.grpc_client import Client, outputs, request, run
from tests.unit.bentos.strict_model import logged


def credit_request(credit: Any, count: int, **more: Any) -> Any:
    return request("credit", {name: credit.frame[name].head(count).to_numpy() for name in credit.frame}, **more)


@pytest.mark.parametrize("typed", [False, True], ids=["raw", "typed"])
@pytest.mark.parametrize("count", [1, 2, 300])
def test_it_predicts_what_the_model_does(service: Any, credit: Any, count: int, typed: bool) -> None:
    service.serve(credit)

    async def scenario(client: Client) -> Any:
        return await client.call("ModelInfer", credit_request(credit, count, typed=typed))

    found = outputs(run(service, scenario))
    np.testing.assert_allclose(found["probabilities"][:, 1], credit.probabilities(count), atol=1e-6)
    assert found["prediction"].tolist() == credit.model.predict(credit.frame.head(count)).tolist()


def test_what_answered_is_told_in_parameters_and_metadata_and_the_id_comes_back(service: Any, credit: Any) -> None:
    service.serve(credit)

    async def scenario(client: Client) -> Any:
        call = client.call("ModelInfer", credit_request(credit, 1, id="mine-ü"))
        return await call, dict(await call.trailing_metadata())

    answer, metadata = run(service, scenario)
    parameters = parameters_of(answer.parameters)
    assert (answer.model_name, answer.model_version, answer.id) == ("credit", "1", "mine-ü")
    assert parameters["fairmind_variant"] == "champion"
    assert metadata == {
        "x-fairmind-prediction-id": parameters["fairmind_prediction_id"],
        "x-fairmind-model-version": "1",
        "x-fairmind-variant": "champion",
    }
    assert parameters_of(answer.outputs[1].parameters) == {"classes": "[0,1]"}


def test_the_log_has_the_row_its_protocol_and_the_callers_id(service: Any, credit: Any) -> None:
    service.serve(credit)

    async def scenario(client: Client) -> Any:
        await client.call("ModelInfer", credit_request(credit, 1, id="mine"))
        worker = client.worker
        return worker.metrics.value(REQUESTS, "credit", "grpc", "OK"), worker.metrics.value(
            PREDICTIONS, "credit", "champion"
        )

    assert run(service, scenario) == (1, 1)
    (record,) = map(json.loads, logged(service.home))
    assert record["protocol"] == "grpc"
    assert "mine" in json.dumps(record)


def test_the_unit_decides_the_variant_as_it_does_over_http(
    service: Any, credit: Any, credit_challenger: Any
) -> None:
    service.serve(credit, credit_challenger, weight_bp=5_000)
    units = [f"person-{number}" for number in range(30)]

    async def scenario(client: Client) -> Any:
        by_parameter, by_metadata, by_http = [], [], []
        transport = httpx.ASGITransport(client.door)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            for unit in units:
                message = credit_request(credit, 1)
                answer = await client.call("ModelInfer", message, metadata=(("x-fairmind-unit", unit),))
                by_metadata.append(answer.model_version)
                message.parameters["unit"].string_param = unit
                by_parameter.append((await client.call("ModelInfer", message)).model_version)
                body = {"instances": credit.instances(1, unit=unit)}
                (one,) = (await http.post("/predict", json=body)).json()["predictions"]
                by_http.append(one["model_version"])
        return by_parameter, by_metadata, by_http

    by_parameter, by_metadata, by_http = run(service, scenario)
    assert by_parameter == by_metadata == by_http
    assert set(by_http) == {"1", "2"}


def test_outputs_are_those_that_were_asked_for(service: Any, credit: Any) -> None:
    service.serve(credit)

    async def scenario(client: Client) -> Any:
        message = credit_request(credit, 2)
        message.outputs.add(name="probabilities")
        return await client.call("ModelInfer", message)

    assert list(outputs(run(service, scenario))) == ["probabilities"]


def test_one_matrix_is_taken_by_a_model_of_numbers(serving: Any) -> None:
    async def scenario(client: Client) -> Any:
        return await client.call("ModelInfer", request("numbers", {"all": np.array([[41.5, 3.0], [20.0, 1.0]])}))

    assert outputs(run(serving, scenario))["probabilities"].shape == (2, 2)


def test_a_version_can_be_asked_for(service: Any, credit: Any, credit_challenger: Any) -> None:
    service.serve(credit, credit_challenger)

    async def scenario(client: Client) -> Any:
        metadata_type = message_type("ModelMetadataRequest")
        pinned = await client.call("ModelInfer", credit_request(credit, 1, model_version="2"))
        by_alias = await client.call("ModelMetadata", metadata_type(name="credit@challenger"))
        return pinned, by_alias

    pinned, by_alias = run(service, scenario)
    assert (pinned.model_version, parameters_of(pinned.parameters)["fairmind_variant"]) == ("2", "")
    assert list(by_alias.versions) == ["1", "2"]


def test_metadata_is_that_of_rest(service: Any, credit: Any) -> None:
    service.serve(credit)

    async def scenario(client: Client) -> Any:
        transport = httpx.ASGITransport(client.door)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            rest = (await http.get("/v2/models/credit")).json()
        found = await client.call("ModelMetadata", message_type("ModelMetadataRequest")(name="credit"))
        server = await client.call("ServerMetadata")
        return rest, found, server

    rest, found, server = run(service, scenario)
    assert (found.name, list(found.versions), found.platform) == (rest["name"], rest["versions"], rest["platform"])
    for kind in ("inputs", "outputs"):
        told = [(one.name, one.datatype, list(one.shape)) for one in getattr(found, kind)]
        assert told == [(one["name"], one["datatype"], one["shape"]) for one in rest[kind]]
    assert (server.name, list(server.extensions)) == ("fairmind-serving", ["model_repository"])


def test_readiness_follows_the_models(service: Any, credit: Any) -> None:
    async def ask(client: Client) -> tuple[bool, bool, bool]:
        live = (await client.call("ServerLive")).live
        ready = (await client.call("ServerReady")).ready
        model = (await client.call("ModelReady", message_type("ModelReadyRequest")(name="credit"))).ready
        return live, ready, model

    assert run(service, ask) == (True, False, False)
    service.serve(credit)
    assert run(service, ask) == (True, True, True)


def test_the_index_lists_what_is_served_and_what_is_amiss(service: Any, credit: Any) -> None:
    service.serve(credit)
    service.serve(None, model="late", version="9")

    async def scenario(client: Client) -> Any:
        request_type = message_type("RepositoryIndexRequest")
        return await client.call("RepositoryIndex"), await client.call("RepositoryIndex", request_type(ready=True))

    everything, ready = run(service, scenario)
    states = {(one.name, one.version): one.state for one in everything.models}
    assert states == {("credit", "1"): "READY", ("late", "9"): "UNAVAILABLE"}
    assert [one.reason for one in everything.models if one.name == "late"] != [""]
    assert [one.name for one in ready.models] == ["credit"]
