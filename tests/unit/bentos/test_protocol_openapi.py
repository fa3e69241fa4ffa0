"""The OpenAPI document of the workers' routes: every one it names is there, and no other method."""

from __future__ import annotations

import re
from typing import Any

import httpx

from bentos.edge import predicts
from bentos.protocol_openapi import protocol_paths, protocol_schemas
from bentos.worker import Worker
from tests.unit.bentos.conftest import Api


def references(value: Any) -> set[str]:
    """Return the names of all schemas that a document refers to."""
    return set(re.findall(r"#/components/schemas/(\w+)", repr(value)))


def test_every_route_is_there_and_takes_the_method_it_says(service: Any, credit: Any) -> None:
    service.serve(credit)
    missing = 404

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for template, operations in protocol_paths().items():
            path = template.format(model="credit", version="1")
            ((method, operation),) = operations.items()
            assert {one["name"] for one in operation.get("parameters", [])} == set(re.findall(r"{(\w+)}", template))
            answer = await client.request(method.upper(), path, json={} if method == "post" else None)
            assert answer.status_code not in {missing, 405, 418}, (method, path)
            assert method == "post" or answer.status_code == 200
            other = await client.request("PUT", path)
            assert (other.status_code, other.headers["allow"]) == (405, method.upper()), path
            assert not predicts(path) or method == "post"

    service.run(scenario)


def test_load_balancers_may_probe_with_head(service: Any, credit: Any) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for path in ("/livez", "/readyz"):
            assert (await client.head(path)).status_code == 200

    service.run(scenario)


def test_a_path_of_several_methods_names_them_all(api: Api) -> None:
    refused = api("DELETE", "/api/v1/rollouts")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, POST")


def test_every_schema_that_is_referred_to_is_there() -> None:
    schemas = protocol_schemas()
    assert references([protocol_paths(), schemas]) <= set(schemas)


def test_the_platforms_document_holds_them_and_says_errors_in_our_shape(api: Api) -> None:
    document = api("GET", "/api/v1/openapi.json").json()
    assert set(protocol_paths()) | {"/api/v1/models", "/bias_test", "/metrics"} <= set(document["paths"])
    assert references(document) <= set(document["components"]["schemas"])
    assert "HTTPValidationError" not in document["components"]["schemas"]
    refused = document["paths"]["/api/v1/rollouts"]["post"]["responses"]["4XX"]
    assert references(refused) == {"Error"}
