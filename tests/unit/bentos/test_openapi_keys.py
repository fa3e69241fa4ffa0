"""What the OpenAPI document says of keys is what the front door does, for every operation there is."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
import pytest

from access.scopes import Scope
from access.tokens import Token, new_token
from bentos.admission import needed_for
from bentos.worker import Worker
from tests.unit.bentos.api_answers import Api
from tests.unit.bentos.keys import write

STATUSES = ("401", "403", "429")


@pytest.fixture
def document(api: Api) -> dict[str, Any]:
    found: dict[str, Any] = api("GET", "/api/v1/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_an_operation_that_asks_for_a_key_says_how_it_refuses_and_no_other_does(document: dict[str, Any]) -> None:
    found = operations(document)
    assert {path for _, path, operation in found if not operation["security"]} == {
        "/livez",
        "/readyz",
        "/ping",
        "/health",
        "/v2/health/live",
        "/v2/health/ready",
    }
    for method, path, operation in found:
        told = set(operation["responses"]) & set(STATUSES)
        if not operation["security"]:
            assert told == set(), path
            continue
        assert operation["security"] == [{"key": []}, {}]
        assert told == set(STATUSES), path
        for scope in needed_for(method, path):
            assert f"`{scope}`" in operation["responses"]["403"]["description"]


def test_the_front_door_refuses_as_the_document_says(document: dict[str, Any], service: Any, credit: Any) -> None:
    service.serve(credit)
    service.requires_keys = True
    every = {scope: new_token() for scope in Scope}
    write(service, *((token, [str(scope)]) for scope, token in every.items()))
    limited = {scope: new_token() for scope in Scope}

    def conforms(answer: httpx.Response, operation: dict[str, Any]) -> bool:
        told = operation["responses"][str(answer.status_code)]
        (name,) = re.findall(r"#/components/schemas/(\w+)", str(told["content"]))
        schema = document["components"]["schemas"][name]
        headers = {header.lower() for header in told["headers"]}
        return set(schema["required"]) <= set(answer.json()) <= set(schema["properties"]) and headers <= set(
            answer.headers
        )

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        async def ask(method: str, template: str, token: Token | None = None) -> httpx.Response:
            path = re.sub(r"{\w+}", "credit", template)
            headers = {} if token is None else {"authorization": f"Bearer {token.text}"}
            return await client.request(method, path, headers=headers)

        for method, path, operation in operations(document):
            if not operation["security"]:
                assert (await ask(method, path)).status_code not in {401, 403}
                continue
            nobody = await ask(method, path)
            assert nobody.status_code == 401
            assert conforms(nobody, operation), path
            other = next(
                scope for scope in Scope if scope is not Scope.ADMIN and scope not in needed_for(method, path)
            )
            unfit = await ask(method, path, every[other])
            assert unfit.status_code == 403
            assert conforms(unfit, operation), path
        write(service, *((token, [str(scope)]) for scope, token in limited.items()), rate=0.001)
        while (await ask("GET", "/v2", limited[Scope.READ])).status_code != 200:
            await asyncio.sleep(0.02)
        for method, path, operation in operations(document):
            if operation["security"]:
                token = limited[next(iter(needed_for(method, path)))]
                await ask(method, path, token)
                often = await ask(method, path, token)
                assert often.status_code == 429
                assert conforms(often, operation), path

    service.run(scenario)
