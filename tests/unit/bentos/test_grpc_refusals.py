"""The Open Inference Protocol over gRPC: a status and a word for every refusal."""

from __future__ import annotations

import logging
from typing import Any

import grpc
import numpy as np
import pytest

from inference.grpc_messages import ModelInferRequest
from inference.raw_texts import raw_from_texts
from monitoring.metrics import REQUESTS
from tests.unit.bentos.grpc_client import Client, request, run
from tests.unit.bentos.strict_model import GOOD, SECRET, logged

FP64, TEXT = np.array([41.5]).tobytes(), raw_from_texts(["nurse"])
INPUTS: dict[str, tuple[str, list[int], bytes]] = {
    "age": ("FP64", [1], FP64),
    "count": ("INT64", [1], np.array([3]).tobytes()),
    "member": ("BOOL", [1], b"\1"),
    "job": ("BYTES", [1], TEXT),
}


def strict_request(**changed: tuple[str, list[int], bytes] | None) -> Any:
    """Return a request to `strict` with other inputs in place of some, or without them."""
    message = ModelInferRequest(model_name="strict")
    for name, given in ({**INPUTS, **changed}).items():
        if given is not None:
            message.inputs.add(name=name, datatype=given[0], shape=given[1])
            message.raw_input_contents.append(given[2])
    return message


def changed(**values: Any) -> Any:
    message = strict_request()
    for name, value in values.items():
        setattr(message, name, value)
    return message


def with_output(name: str) -> Any:
    message = strict_request()
    message.outputs.add(name=name)
    return message


def with_unit(unit: Any) -> Any:
    message = strict_request()
    if isinstance(unit, str):
        message.parameters["unit"].string_param = unit
    else:
        message.parameters["unit"].int64_param = unit
    return message


def twice() -> Any:
    message = strict_request()
    message.inputs.add(name="age", datatype="FP64", shape=[1])
    message.raw_input_contents.append(FP64)
    return message


EMPTY = {name: (datatype, [0], b"") for name, (datatype, _, _) in INPUTS.items()}
INVALID = "INVALID_ARGUMENT"
REFUSED: dict[str, tuple[Any, str, str]] = {
    "no protobuf": (b"\xff\xff\xff", INVALID, "not the protobuf message"),
    "a name that is no text": (b"\x0a\x02\xff\xfe", INVALID, "not the protobuf message"),
    "another protocol's JSON": (b'{"inputs": []}', INVALID, "not the protobuf message"),
    "an unknown model": (changed(model_name="nobody"), "NOT_FOUND", "no model 'nobody' is served"),
    "an unknown version": (changed(model_version="99"), "NOT_FOUND", "strict/99"),
    "no model where there are several": (
        changed(model_name=""),
        INVALID,
        "name the model, one of: numbers, strict",
    ),
    "no inputs": (ModelInferRequest(model_name="strict"), INVALID, "no inputs"),
    "an unknown output": (with_output("shoe"), INVALID, "no output 'shoe'"),
    "a missing input": (strict_request(age=None), INVALID, "column 'age': is missing"),
    "an unknown input": (strict_request(shoe=("FP64", [1], FP64)), INVALID, "column 'shoe': is not a column"),
    "an input twice": (twice(), INVALID, "input 'age' is there twice"),
    "a number for a text": (
        strict_request(job=("FP64", [1], FP64)),
        INVALID,
        "input 'job' must be BYTES, not FP64",
    ),
    "a text for a number": (strict_request(age=("BYTES", [1], TEXT)), INVALID, "input 'age' must be FP64"),
    "a broken number for a whole one": (
        strict_request(count=("FP64", [1], FP64)),
        INVALID,
        "input 'count' must be INT64, not FP64",
    ),
    "a missing value": (
        strict_request(age=("FP64", [1], np.array([np.nan]).tobytes())),
        INVALID,
        "row 0, column 'age': is required and may not be NaN",
    ),
    "an unknown category": (
        strict_request(job=("BYTES", [1], raw_from_texts([SECRET]))),
        INVALID,
        "column 'job': is a category the model does not know",
    ),
    "a truncated tensor": (strict_request(age=("FP64", [1], FP64[:5])), INVALID, "input 'age' has 5 bytes"),
    "bytes too many": (strict_request(age=("FP64", [1], FP64 + b"\0")), INVALID, "input 'age' has 9 bytes"),
    "truncated texts": (
        strict_request(job=("BYTES", [1], TEXT[:6])),
        INVALID,
        "input 'job' does not hold 1 strings",
    ),
    "a shape with more than there is": (
        strict_request(age=("FP64", [2], FP64)),
        INVALID,
        "input 'age' has 8 bytes",
    ),
    "shapes that differ": (
        strict_request(age=("FP64", [2], FP64 * 2)),
        INVALID,
        "input 'count' has 1 rows, input 'age' has 2",
    ),
    "two columns in one": (strict_request(age=("FP64", [1, 2], FP64 * 2)), INVALID, "the shape [N] or [N, 1]"),
    "a datatype nobody knows": (strict_request(age=("BF16", [1], FP64)), INVALID, "unknown datatype BF16"),
    "no rows": (strict_request(**EMPTY), INVALID, "no rows"),
    "a unit that is no text": (with_unit(7), INVALID, "the unit must be a string"),
    "an empty unit": (with_unit(""), INVALID, "the unit must be a string"),
    "a long unit": (with_unit("u" * 201), INVALID, "the unit must be a string"),
    "a long id": (changed(id="i" * 201), INVALID, "'id' must be a string of at most 200"),
    "more rows than one may have": (
        strict_request(**{name: (kind, [2**40, 0], b"") for name, (kind, _, _) in INPUTS.items()}),
        "RESOURCE_EXHAUSTED",
        "FAIRMIND_BENTOS_MAX_ROWS",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_refused_with_a_word_for_it(
    serving: Any, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    sent, code, word = REFUSED[case]

    async def scenario(client: Client) -> Any:
        refused = await client.refused("ModelInfer", sent)
        assert (
            client.worker.metrics.value(REQUESTS, "strict", "grpc", code)
            + client.worker.metrics.value(REQUESTS, "", "grpc", code)
            == 1
        )
        good = await client.call("ModelInfer", request("strict", {name: [value] for name, value in GOOD.items()}))
        return refused, good

    with caplog.at_level(logging.WARNING):
        (found, message), good = run(serving, scenario)
    assert (found, word in message) == (code, True), message
    assert good.model_name == "strict"
    assert SECRET not in message
    assert caplog.text == ""
    assert len(logged(serving.home)) == 1, "only the good one is in the log"


def test_a_refusal_names_the_request_under_which_the_log_has_it(serving: Any) -> None:
    async def scenario(client: Client) -> Any:
        try:
            await client.call("ModelInfer", b"\xff")
        except grpc.aio.AioRpcError as error:
            return dict(error.trailing_metadata())

    assert len(run(serving, scenario)["x-fairmind-request-id"]) == 36


@pytest.mark.parametrize("method", ["RepositoryModelLoad", "RepositoryModelUnload"])
def test_what_is_loaded_is_not_for_this_protocol_to_say(serving: Any, method: str) -> None:
    async def scenario(client: Client) -> Any:
        return await client.refused(method)

    code, message = run(serving, scenario)
    assert code == "UNIMPLEMENTED"
    assert "fairmind models promote" in message


def test_a_method_that_does_not_exist_is_unimplemented(serving: Any) -> None:
    async def scenario(client: Client) -> Any:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.channel.unary_unary("/inference.GRPCInferenceService/ModelStreamInfer")(b"")
        return refused.value.code()

    assert run(serving, scenario) is grpc.StatusCode.UNIMPLEMENTED


def test_a_bug_is_internal_and_its_text_is_in_no_answer_and_no_log(
    serving: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_message: Any) -> Any:
        raise KeyError(SECRET)

    monkeypatch.setattr("bentos.grpc_inference.plain_row", broken)

    async def scenario(client: Client) -> Any:
        return await client.refused("ModelInfer", strict_request())

    code, message = run(serving, scenario)
    assert code == "INTERNAL"
    assert message.startswith("internal error")
    assert "internal_error (KeyError)" in caplog.text
    assert SECRET not in message + caplog.text


def test_nothing_is_answered_without_a_key_where_one_is_required(service: Any, credit: Any) -> None:
    service.serve(credit)

    async def scenario(client: Client) -> Any:
        return [
            await client.refused("ModelInfer", request("credit", credit.frame.head(1))),
            await client.refused("ServerMetadata"),
        ]

    for code, message in run(service, scenario, keys_required=True):
        assert code == "UNAUTHENTICATED"
        assert "key" in message


def test_the_access_log_has_a_line_per_prediction(
    service: Any, credit: Any, caplog: pytest.LogCaptureFixture
) -> None:
    service.serve(credit)

    async def scenario(client: Client) -> None:
        await client.call("ModelInfer", request("credit", credit.frame.head(1)))
        await client.refused("ModelInfer", ModelInferRequest())

    with caplog.at_level(logging.INFO, "fairmind.access"):
        run(service, scenario, access_log=True)
    lines = [record.getMessage() for record in caplog.records if record.name == "fairmind.access"]
    assert [line.split(" ms ")[0].rsplit(" ", 1)[0] for line in lines] == [
        "gRPC ModelInfer OK",
        "gRPC ModelInfer INVALID_ARGUMENT",
    ]
