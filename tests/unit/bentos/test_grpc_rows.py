"""Requests read from their bytes, beside what protobuf makes of them."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.grpc_rows import KnownRows
from bentos.grpc_tensors import parameters_of, plain_row
from inference.grpc_messages import ModelInferRequest

KINDS = ("BYTES", "FP64", "INT64", "BOOL")
VALUES = {
    "BYTES": st.text(max_size=140),
    "FP64": st.floats(),
    "INT64": st.integers(-(2**63), 2**63 - 1),
    "BOOL": st.booleans(),
}
PACKED = {"FP64": "<d", "INT64": "<q", "BOOL": "<?"}
Layout = list[tuple[str, str]]
columns = st.tuples(st.text(max_size=20), st.sampled_from(KINDS))
layouts = st.lists(columns, min_size=1, max_size=5, unique_by=lambda column: column[0])


def raw_of(datatype: str, value: Any) -> bytes:
    if datatype == "BYTES":
        text = value.encode()
        return len(text).to_bytes(4, "little") + text
    return struct.pack(PACKED[datatype], value)


def request(
    layout: Layout, values: list[Any], *, model: str = "m", given_id: str = "", unit: str | None = None
) -> Any:
    """Return a request of one row."""
    made = ModelInferRequest(model_name=model, id=given_id)
    if unit is not None:
        made.parameters["unit"].string_param = unit
    for (name, datatype), value in zip(layout, values, strict=True):
        made.inputs.add(name=name, datatype=datatype, shape=[1])
        made.raw_input_contents.append(raw_of(datatype, value))
    return made


def knowing(message: Any) -> KnownRows:
    """Return rows that have learnt how the inputs of a message are written."""
    rows = KnownRows()
    rows.learn(message, message.SerializeToString())
    return rows


def zeros(layout: Layout) -> list[Any]:
    return [{"BYTES": "", "FP64": 0.0, "INT64": 0, "BOOL": False}[datatype] for _, datatype in layout]


@given(data=st.data(), layout=layouts, given_id=st.text(max_size=140), unit=st.none() | st.text(max_size=140))
def test_what_is_read_is_what_protobuf_reads(
    data: st.DataObject, layout: Layout, given_id: str, unit: str | None
) -> None:
    values = [data.draw(VALUES[datatype]) for _, datatype in layout]
    sent = request(layout, values, given_id=given_id, unit=unit)
    found = knowing(request(layout, zeros(layout))).read(sent.SerializeToString())
    longest = max(len(raw) for raw in sent.raw_input_contents)
    entry = 0 if unit is None else 10 + len(unit.encode())
    assert (found is None) == (max(longest, entry, len(given_id.encode())) >= 128)
    if found is not None:
        row = plain_row(sent)
        assert row is not None
        np.testing.assert_equal(found.row, row)
        assert [(name, type(value)) for name, value in found.row.items()] == [(n, type(v)) for n, v in row.items()]
        assert (found.model, found.version, found.id, found.unit) == ("m", "", given_id, unit)


@given(data=st.data(), layout=layouts, unit=st.none() | st.text(max_size=9))
def test_whatever_the_bytes_are_nothing_is_read_that_protobuf_reads_otherwise(
    data: st.DataObject, layout: Layout, unit: str | None
) -> None:
    values = [data.draw(VALUES[datatype]) for _, datatype in layout]
    content = bytearray(request(layout, values, given_id="id", unit=unit).SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content)))
        cut = data.draw(st.integers(0, 2))
        content[place : place + cut] = data.draw(st.binary(max_size=2))
    found = knowing(request(layout, zeros(layout))).read(bytes(content))
    if found is not None:
        message = ModelInferRequest.FromString(bytes(content))
        np.testing.assert_equal(found.row, plain_row(message))
        assert (found.model, found.id) == (message.model_name, message.id)
        assert ({} if found.unit is None else {"unit": found.unit}) == parameters_of(message.parameters)
        assert not message.model_version
        assert not message.outputs


LEARNT = [("x", "FP64"), ("y", "INT64")]
PLAIN = request(LEARNT, [1.0, 2])


def changed(**fields: Any) -> bytes:
    """Return the plain request with more in it."""
    more = ModelInferRequest(**fields).SerializeToString()
    content: bytes = ModelInferRequest.FromString(PLAIN.SerializeToString() + more).SerializeToString()
    return content


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x0a",
        PLAIN.SerializeToString()[:-1],
        PLAIN.SerializeToString() + b"\x00",
        changed(model_name="other"),
        changed(model_version="1"),
        changed(outputs=[{"name": "prediction"}]),
        changed(parameters={"timeout": {"int64_param": 1}}),
        changed(parameters={"unit": {"int64_param": 1}}),
        changed(parameters={"unit": {"string_param": "u"}, "more": {"string_param": "u"}}),
        changed(inputs=[{"name": "z", "datatype": "FP64", "shape": [1]}], raw_input_contents=[bytes(8)]),
        changed(raw_input_contents=[bytes(8)]),
        request([("y", "INT64"), ("x", "FP64")], [2, 1.0]).SerializeToString(),
        request([("x", "INT64"), ("y", "INT64")], [1, 2]).SerializeToString(),
        request([("x", "FP64")], [1.0]).SerializeToString(),
    ],
    ids=lambda content: f"{len(content)} bytes",  # protobuf writes a map's entries in any order
)
def test_what_is_written_in_another_way_is_left_to_protobuf(content: bytes) -> None:
    rows = knowing(PLAIN)
    assert rows.read(PLAIN.SerializeToString()) is not None
    assert rows.read(content) is None


def test_each_model_has_inputs_of_its_own_and_one_without_a_name_is_not_learnt() -> None:
    rows = KnownRows()
    other = request([("z", "BOOL")], [True], model="other")
    for message in (PLAIN, other, request(LEARNT, [1.0, 2], model=""), request(LEARNT, [1.0, 2], model="n" * 200)):
        rows.learn(message, message.SerializeToString())
    assert [rows.read(message.SerializeToString()) is not None for message in (PLAIN, other)] == [True, True]
    assert rows.read(request(LEARNT, [1.0, 2], model="").SerializeToString()) is None
    assert rows.read(request(LEARNT, [1.0, 2], model="n" * 200).SerializeToString()) is None


def test_clients_that_differ_do_not_have_the_inputs_learnt_anew_each_time_but_now_and_then() -> None:
    rows, other = knowing(PLAIN), request(LEARNT[::-1], [2, 1.0])
    rows.learn(other, other.SerializeToString())
    assert rows.read(PLAIN.SerializeToString()) is not None
    for _ in range(64):
        rows.learn(other, other.SerializeToString())
    assert rows.read(other.SerializeToString()) is not None
