"""What gRPC's clients retry by themselves, where they are told to: what a server refuses for the moment."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from access.tokens import new_token
from monitoring.metrics import REQUESTS
from tests.unit.bentos.grpc_client import Client, request, run
from tests.unit.bentos.keys import write


def retrying(code: str, seconds: float) -> Callable[[int], Any]:
    """Return what opens a channel that retries a code up to five times, after about so long."""
    policy = {
        "maxAttempts": 5,
        "initialBackoff": f"{seconds}s",
        "maxBackoff": f"{seconds}s",
        "backoffMultiplier": 1,
        "retryableStatusCodes": [code],
    }
    config = json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": policy}]})
    return lambda port: grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.service_config", config)])


def test_a_call_that_comes_before_the_model_is_tried_again_until_it_is_there(service: Any, credit: Any) -> None:
    """KServe's clients do this."""

    async def scenario(client: Client) -> None:
        message = request("credit", credit.frame.head(1))
        asked = asyncio.ensure_future(client.call("ModelInfer", message, timeout=60))
        while not client.worker.metrics.value(REQUESTS, "", "grpc", "UNAVAILABLE"):
            await asyncio.sleep(0.01)
        service.serve(credit)
        assert (await asked).model_name == "credit"

    run(service, scenario, channel=retrying("UNAVAILABLE", 3.0))


def test_who_comes_too_often_comes_again_when_the_server_says(service: Any, credit: Any) -> None:
    """The client's policy would have it wait for minutes; what the server says comes first."""
    service.serve(credit)
    token = new_token()
    write(service, (token, ["predict"]), rate=0.4)

    async def scenario(client: Client) -> None:
        for _ in range(2):
            message, metadata = (
                request("credit", credit.frame.head(1)),
                (("authorization", f"Bearer {token.text}"),),
            )
            answer = await client.call("ModelInfer", message, metadata=metadata, timeout=60)
            assert answer.model_name == "credit"
        assert client.worker.metrics.value(REQUESTS, "", "grpc", "RESOURCE_EXHAUSTED") >= 1

    run(service, scenario, channel=retrying("RESOURCE_EXHAUSTED", 300.0))


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "NOT_FOUND"])
def test_what_will_be_refused_again_holds_no_hint_to_try_it_again(service: Any, credit: Any, code: str) -> None:
    service.serve(credit)
    message = request("credit" if code == "INVALID_ARGUMENT" else "nobody", {"age": [1.0]})

    async def scenario(client: Client) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.call("ModelInfer", message)
        assert refused.value.code().name == code
        assert not {"retry-after", "grpc-retry-pushback-ms"} & set(dict(refused.value.trailing_metadata()))

    run(service, scenario)
