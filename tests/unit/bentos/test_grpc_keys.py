"""Keys and request ids over gRPC, as over HTTP: who may call what, how often, until when, and what the log says."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import grpc
import pytest

from access.scopes import Scope
from access.tokens import Token, new_token
from bentos.grpc_tensors import parameters_of
from tests.unit.bentos.grpc_client import Client, request, run
from tests.unit.bentos.keys import write

ANYBODY = {"", *map(str, Scope)}
METHODS: dict[str, set[str]] = {
    "ServerLive": ANYBODY,
    "ServerReady": ANYBODY,
    "ServerMetadata": {"predict", "read", "admin"},
    "ModelReady": {"predict", "read", "admin"},
    "ModelMetadata": {"predict", "read", "admin"},
    "ModelInfer": {"predict", "admin"},
    "RepositoryIndex": {"read", "admin"},
    "RepositoryModelLoad": {"admin"},
    "RepositoryModelUnload": {"admin"},
}


def bearer(token: Token, **more: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token.text}"), *more.items())


async def refusal(
    client: Client, method: str, message: Any = None, **options: Any
) -> tuple[str, str, dict[str, Any]]:
    """Return code, message and trailing metadata of a refused call, "OK" where it is answered."""
    try:
        await client.call(method, message, **options)
    except grpc.aio.AioRpcError as error:
        return error.code().name, error.details(), dict(error.trailing_metadata())
    return "OK", "", {}


def test_each_scope_opens_its_methods_and_no_others(service: Any, credit: Any) -> None:
    service.serve(credit)
    tokens = {str(scope): new_token() for scope in Scope}
    write(service, *((token, [scope]) for scope, token in tokens.items()))

    async def scenario(client: Client) -> dict[str, set[str]]:
        let_in: dict[str, set[str]] = {}
        for method in METHODS:
            for who in ANYBODY:
                code, said, _ = await refusal(client, method, metadata=bearer(tokens[who]) if who else ())
                assert code not in {"UNKNOWN", "INTERNAL"}
                assert (code == "UNAUTHENTICATED") <= (who == "")
                if code == "PERMISSION_DENIED":
                    assert tokens[who].id in said
                elif code != "UNAUTHENTICATED":
                    let_in.setdefault(method, set()).add(who)
        return let_in

    assert run(service, scenario, keys_required=True) == METHODS


@pytest.mark.parametrize("keys_required", [False, True])
def test_a_wrong_key_is_refused_wherever_it_comes_from_and_nothing_repeats_it(
    service: Any, credit: Any, keys_required: bool, caplog: pytest.LogCaptureFixture
) -> None:
    service.serve(credit)
    write(service, (new_token(), ["admin"]))
    wrong = new_token()

    async def scenario(client: Client) -> Any:
        assert (await client.call("ServerLive", metadata=bearer(wrong))).live
        return await refusal(client, "ModelInfer", request("credit", credit.frame.head(1)), metadata=bearer(wrong))

    with caplog.at_level(logging.DEBUG):
        code, message, metadata = run(service, scenario, keys_required=keys_required)
    assert code == "UNAUTHENTICATED"
    assert wrong.text[-64:] not in message + str(metadata) + caplog.text


def test_a_key_that_comes_too_often_is_told_when_to_come_again(service: Any, credit: Any) -> None:
    service.serve(credit)
    token = new_token()
    write(service, (token, ["predict"]), rate=0.1)
    message = request("credit", credit.frame.head(1))

    async def scenario(client: Client) -> Any:
        await client.call("ModelInfer", message, metadata=bearer(token))
        limited = await refusal(client, "ModelInfer", message, metadata=bearer(token))
        await client.call("ModelInfer", message)  # loopback: nobody's rate
        return limited

    code, said, metadata = run(service, scenario)
    assert (code, token.id in said) == ("RESOURCE_EXHAUSTED", True)
    assert 1 <= int(metadata["retry-after"]) <= 10


def test_a_key_is_refused_within_a_second_after_it_is_revoked(service: Any, credit: Any) -> None:
    service.serve(credit)
    token, other = new_token(), new_token()
    write(service, (token, ["predict"]), (other, ["predict"]))
    message = request("credit", credit.frame.head(1))

    async def scenario(client: Client) -> None:
        await client.call("ModelInfer", message, metadata=bearer(token))
        write(service, (other, ["predict"]))
        revoked = time.monotonic()
        while (await refusal(client, "ModelInfer", message, metadata=bearer(token)))[0] == "OK":
            assert time.monotonic() - revoked < 1
            await asyncio.sleep(0.02)
        await client.call("ModelInfer", message, metadata=bearer(other))

    run(service, scenario, keys_required=True)


def test_where_no_key_can_be_checked_it_is_said_to_be_for_now(service: Any, credit: Any) -> None:
    service.serve(credit)

    async def scenario(client: Client) -> Any:
        return await refusal(
            client, "ModelInfer", request("credit", credit.frame.head(1)), metadata=bearer(new_token())
        )

    code, said, metadata = run(service, scenario, keys_required=True)
    assert (code, "retry in a moment" in said) == ("UNAVAILABLE", True)
    assert "grpc-retry-pushback-ms" not in metadata


def test_the_variant_is_told_to_keys_that_may_read(service: Any, credit: Any) -> None:
    service.serve(credit)
    both, predicting = new_token(), new_token()
    write(service, (both, ["predict", "read"]), (predicting, ["predict"]))

    async def scenario(client: Client) -> list[tuple[bool, bool]]:
        told = []
        for token in (both, predicting):
            call = client.call("ModelInfer", request("credit", credit.frame.head(1)), metadata=bearer(token))
            answer, metadata = await call, dict(await call.trailing_metadata())
            told.append(("fairmind_variant" in parameters_of(answer.parameters), "x-fairmind-variant" in metadata))
            assert metadata["x-fairmind-model-version"] == "1"
        return told

    assert run(service, scenario, keys_required=True) == [(True, True), (False, False)]


# ---- request ids ----


@pytest.mark.parametrize(("given", "back"), [("mine-17", "mine-17"), ("a b", None), ("x" * 129, None)])
def test_the_callers_id_of_a_call_comes_back_where_it_is_one(
    service: Any, credit: Any, given: str, back: str | None
) -> None:
    service.serve(credit)
    metadata = (("x-request-id", given),)

    async def scenario(client: Client) -> Any:
        call = client.call("ModelInfer", request("credit", credit.frame.head(1)), metadata=metadata)
        await call
        refused = await refusal(client, "ModelInfer", request("nobody", credit.frame.head(1)), metadata=metadata)
        return dict(await call.trailing_metadata()), refused[2]

    answered, refused = run(service, scenario)
    assert answered.get("x-request-id") == refused.get("x-request-id") == back
    assert len(refused["x-fairmind-request-id"]) == len(answered["x-fairmind-prediction-id"]) == 36


def test_a_failure_stands_in_the_log_under_both_ids(
    service: Any, credit: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    service.serve(credit)

    def broken(_message: Any) -> Any:
        raise KeyError

    monkeypatch.setattr("bentos.grpc_inference.plain_row", broken)

    async def scenario(client: Client) -> Any:
        message, metadata = request("credit", credit.frame.head(1)), (("x-request-id", "mine-17"),)
        return await refusal(client, "ModelInfer", message, metadata=metadata)

    code, _, metadata = run(service, scenario)
    assert code == "INTERNAL"
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert line.startswith(f"request {metadata['x-fairmind-request-id']} (mine-17): internal_error")
