"""What rows say beside their features, over gRPC as over HTTP; explicit versions; bounds; and anything at all."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from bentos.grpc_tensors import parameters_of
from inference.grpc_messages import ModelInferRequest
from inference.raw_texts import raw_from_texts
from tests.unit.bentos.grpc_client import Client, outputs, request, run
from tests.unit.bentos.row_forms import Row, as_predict, flat
from tests.unit.bentos.strict_model import GOOD, SECRET, logged

MEANT = {"INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED", "OK"}
PEOPLE: list[Row] = [
    {"age": 41.0, "amount": 2.0, "job": "nurse", "unit": f"u-{n}", "id": f"i-{n}", "SEX": "1", "RAC1P": None}
    for n in range(12)
]


def as_message(rows: list[Row], *, typed: bool = False) -> Any:
    """Return the rows as tensors; a text that is None is empty, for raw tensors have no null."""
    columns = {name: [flat(row)[name] for row in rows] for name in flat(rows[0])}
    texts = {name: [value or "" for value in columns[name]] for name in set(columns) - {"age", "amount"}}
    return request("credit", columns | texts, typed=typed)


def records(home: Path, request_id: str) -> list[dict[str, Any]]:
    """Return what the log has of a request's answers, without the exposures before them."""
    found = [record for record in map(orjson.loads, logged(home)) if record["request_id"] == request_id]
    return [record for record in found if "kind" not in record]


@pytest.mark.parametrize("typed", [False, True], ids=["raw", "typed"])
@pytest.mark.parametrize("count", [1, 12])
def test_rows_are_answered_and_logged_as_over_http(
    service: Any, credit: Any, credit_challenger: Any, count: int, typed: bool
) -> None:
    service.serve(credit, credit_challenger, weight_bp=4_000)
    rows = PEOPLE[:count]

    async def scenario(client: Client) -> Any:
        answer = await client.call("ModelInfer", as_message(rows, typed=typed))
        path, body, headers = as_predict(rows)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(client.door), base_url="http://test") as http:
            return answer, await http.post(path, content=body, headers=headers)

    answer, http = run(service, scenario)
    assert outputs(answer)["prediction"].tolist() == [one["prediction"] for one in http.json()["predictions"]]
    ours = records(service.home, parameters_of(answer.parameters)["fairmind_prediction_id"])
    theirs = records(service.home, http.headers["x-fairmind-prediction-id"])
    assert ours
    said = ("unit_hashes", "cohorts", "caller_ids", "protected", "variant", "model_version", "positions")
    for mine, other in zip(ours, theirs, strict=True):
        assert {name: mine[name] for name in said} == {name: other[name] for name in said}
        assert mine["scores"] == pytest.approx(other["scores"], abs=1e-12)


@pytest.mark.parametrize("typed", [False, True], ids=["raw", "typed"])
def test_an_error_names_the_row_that_was_sent_whichever_variant_answers_it(
    service: Any, credit: Any, credit_challenger: Any, typed: bool
) -> None:
    service.serve(credit, credit_challenger, weight_bp=5_000)

    async def scenario(client: Client) -> None:
        for wrong in (0, 7, 11):
            rows = [row | ({"job": SECRET} if place == wrong else {}) for place, row in enumerate(PEOPLE)]
            code, said = await client.refused("ModelInfer", as_message(rows, typed=typed))
            assert (code, f"row {wrong}, column 'job'" in said, SECRET in said) == ("INVALID_ARGUMENT", True, False)

    run(service, scenario)


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("fairmind.unit", np.array([1.5]), "column 'fairmind.unit': must be a string"),
        ("fairmind.id", ["i" * 201], "column 'fairmind.id': must have at most 200"),
        ("fairmind.protected.sex", np.array([True]), "column 'fairmind.protected.sex': must be a string"),
        ("fairmind.protected.", ["f"], "column 'fairmind.protected.': is not a column"),
    ],
)
@pytest.mark.parametrize("typed", [False, True], ids=["raw", "typed"])
def test_what_a_row_cannot_say_is_refused(
    service: Any, credit: Any, name: str, value: Any, word: str, typed: bool
) -> None:
    service.serve(credit)
    row = credit.frame.head(1).to_dict("list")

    async def scenario(client: Client) -> Any:
        return await client.refused("ModelInfer", request("credit", row | {name: value}, typed=typed))

    code, said = run(service, scenario)
    assert (code, word in said) == ("INVALID_ARGUMENT", True), said


def test_a_version_asked_for_answers_and_is_in_no_analysis(
    service: Any, credit: Any, credit_challenger: Any
) -> None:
    service.serve(credit, credit_challenger, weight_bp=5_000)
    frame = credit.frame.head(3)

    async def scenario(client: Client) -> Any:
        message = request("credit", frame, model_version="2")
        message.parameters["unit"].string_param = "u"
        return await client.call("ModelInfer", message)

    answer = run(service, scenario)
    expected = credit_challenger.model.predict_proba(frame)
    np.testing.assert_allclose(outputs(answer)["probabilities"], expected, atol=1e-6)
    (record,) = map(json.loads, logged(service.home))
    assert (record["model_version"], record["variant"], record["protocol"]) == ("2", None, "grpc")


# ---- bounds ----


def test_too_many_tensors_are_refused_whatever_they_are(service: Any, credit: Any) -> None:
    service.serve(credit)

    async def scenario(client: Client) -> None:
        message = request("credit", credit.frame.head(1))
        await client.call("ModelInfer", message)
        message.inputs.add(name="x")
        code, said = await client.refused("ModelInfer", message)
        assert (code, "FAIRMIND_BENTOS_MAX_COLUMNS" in said) == ("RESOURCE_EXHAUSTED", True)

    run(service, scenario, max_columns=3)


@pytest.mark.parametrize("typed", [False, True], ids=["raw", "typed"])
def test_too_many_rows_are_refused(service: Any, credit: Any, typed: bool) -> None:
    service.serve(credit)

    async def scenario(client: Client) -> None:
        await client.call("ModelInfer", request("credit", credit.frame.head(5), typed=typed))
        code, said = await client.refused("ModelInfer", request("credit", credit.frame.head(6), typed=typed))
        assert (code, "FAIRMIND_BENTOS_MAX_ROWS" in said) == ("RESOURCE_EXHAUSTED", True)

    run(service, scenario, max_rows=5)


def test_raw_contents_that_are_cut_off_anywhere_are_refused(serving: Any) -> None:
    whole = request("strict", {name: [value, value] for name, value in GOOD.items()})

    async def scenario(client: Client) -> None:
        await client.call("ModelInfer", whole)
        for place, raw in enumerate(whole.raw_input_contents):
            for size in range(len(raw)):
                message = ModelInferRequest.FromString(whole.SerializeToString())
                message.raw_input_contents[place] = raw[:size]
                code, said = await client.refused("ModelInfer", message)
                assert (code, whole.inputs[place].name in said) == ("INVALID_ARGUMENT", True), said

    run(serving, scenario)


# ---- anything at all ----

PARAMETERS = st.sampled_from(["bool_param", "int64_param", "string_param", "double_param", "uint64_param"])
SIZES = st.sampled_from([-(2**63), -1, 0, 1, 2, 3, 2**31, 2**62, 2**63 - 1])
DATATYPES = st.sampled_from(["FP64", "FP32", "FP16", "INT64", "UINT64", "INT8", "BOOL", "BYTES", "BF16", "", "\0"])
NAMES = st.sampled_from([*GOOD, "fairmind.unit", "fairmind.id", "fairmind.protected.sex", "shoe", ""])
RAWS = st.binary(max_size=24) | st.sampled_from([bytes(8), b"\1", raw_from_texts(["nurse"]), b"\xff" * 8])
FIELDS = {
    "bool_contents": st.booleans(),
    "int_contents": st.integers(-(2**31), 2**31 - 1),
    "int64_contents": st.integers(-(2**63), 2**63 - 1),
    "uint_contents": st.integers(0, 2**32 - 1),
    "uint64_contents": st.integers(0, 2**64 - 1),
    "fp32_contents": st.floats(width=32),
    "fp64_contents": st.floats(),
    "bytes_contents": st.binary(max_size=5) | st.just(b"nurse"),
}


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Draw a request that began as a good one, or bytes that began as one."""
    message = request("strict", {name: [value] for name, value in GOOD.items()}, typed=draw(st.booleans()))
    for _ in range(draw(st.integers(0, 4))):
        change = draw(st.integers(0, 9))
        tensor = message.inputs[draw(st.integers(0, len(message.inputs) - 1))]
        if change == 0:
            tensor.name = draw(NAMES)
        elif change == 1:
            tensor.datatype = draw(DATATYPES)
        elif change == 2:
            tensor.shape[:] = draw(st.lists(SIZES, max_size=3))
        elif change == 3:
            field = draw(st.sampled_from(list(FIELDS)))
            getattr(tensor.contents, field).extend(draw(st.lists(FIELDS[field], max_size=3)))
        elif change == 4:
            tensor.contents.Clear()
        elif change == 5:
            message.raw_input_contents[:] = draw(st.lists(RAWS, max_size=5))
        elif change == 6:
            message.inputs.append(tensor)
        elif change == 7:
            message.outputs.add(name=draw(st.sampled_from(["prediction", "probabilities", "", "shoe"])))
        elif change == 8:
            key = draw(st.sampled_from(["unit", "binary_data_output", "timeout", ""]))
            field = draw(PARAMETERS)
            setattr(message.parameters[key], field, "u" if field == "string_param" else 1)
        else:
            message.model_version = draw(st.sampled_from(["", "1", "99", "champion", "\0", "v" * 300]))
    content: bytes = message.SerializeToString()
    if draw(st.booleans()):
        return content
    at = draw(st.integers(0, len(content)))
    return content[:at] + draw(st.binary(max_size=4)) + content[at + draw(st.integers(0, 4)) :]


def test_whatever_is_sent_is_answered_or_refused_by_name(serving: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(client: Client) -> None:
        loop = asyncio.get_running_loop()

        async def send(content: bytes) -> tuple[str, str]:
            try:
                await client.call("ModelInfer", content)
            except grpc.aio.AioRpcError as error:
                return error.code().name, error.details()
            return "OK", ""

        @settings(
            max_examples=200,
            database=None,
            deadline=None,
            phases=(Phase.explicit, Phase.generate, Phase.shrink),
            suppress_health_check=[HealthCheck.too_slow],
        )
        @given(messages())
        @example(b"")
        def attack(content: bytes) -> None:
            code, said = asyncio.run_coroutine_threadsafe(send(content), loop).result(60)
            assert code in MEANT, said
            assert code == "OK" or said

        await asyncio.to_thread(attack)

    run(serving, scenario)
    assert caplog.text == ""
