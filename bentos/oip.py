"""Open Inference Protocol (V2) over REST: health, metadata and inference, JSON or binary both ways.

Columns come as one tensor each, or as one matrix (`inference.tensors`). The answer is `prediction`, [N] or [N, M],
and, for a classifier, `probabilities` [N, K] in the order of the classes that the metadata names. The unit that
decides the variant travels as the request parameter `unit` or in the header `X-Fairmind-Unit`, or per row in the
tensor `fairmind.unit` (`bentos.row_extras`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version as library_version
from typing import Any, Final

import orjson

from bentos.dataplane import DataPlane, Features, Request
from bentos.errors import MalformedRequestError
from bentos.joined_parts import Joined, join_parts
from bentos.oip_tensors import (
    Wanted,
    describe_inputs,
    describe_outputs,
    encode_outputs,
    parse_inputs,
    parse_outputs,
    plain_row,
)
from bentos.row_extras import (
    NOTHING,
    extra_names,
    header_override,
    own_names,
    read_extras,
    split_tensors,
    units_of,
)
from bentos.served import Served, Target
from bentos.wire import Exchange
from inference.chosen_rows import as_sent, tensors_at
from inference.columns import columns_from_rows
from inference.errors import SignatureMismatchError
from inference.runtime import EncodedColumns
from inference.signature import Signature
from inference.tensors import Tensor, columns_from_tensors, rows_in
from monitoring.predictions import BULK_ROWS

PROTOCOL: Final = "oip"
_MAX_TEXT: Final = 200
_RESERVED: Final = frozenset(
    {
        *("unit", "binary_data_output", "sequence_id", "sequence_start", "sequence_end", "priority", "timeout"),
        *("content_type", "headers"),  # MLServer's
    }
)


@dataclass(frozen=True, slots=True)
class Inference:
    """An answer and what its headers tell; `json_bytes` of the body are JSON, None where all of it is.

    Version and variant are several, joined by commas, where the rows of several units were split.
    """

    body: bytes
    model_version: str
    variant: str | None
    json_bytes: int | None = None


def refusal(status: int, code: str, message: str) -> tuple[int, bytes]:
    """Return status and body of an error: rows that do not fit are 400, overload is 429."""
    status = {422: 400, 503: 429 if code == "overloaded" else 503}.get(status, status)
    return status, orjson.dumps({"error": message})


def server_metadata() -> dict[str, Any]:
    """Return what `GET /v2` answers."""
    version = library_version("fairmind-serving")
    return {
        "name": "fairmind-serving",
        "version": version,
        "extensions": ["binary_tensor_data", "model_repository"],
    }


def model_metadata(target: Target) -> dict[str, Any]:
    """Return what `GET /v2/models/{m}` answers: tensors from the version's signature, classes as a parameter."""
    signature = (target.pinned or target.served.champion).batcher.model.signature
    return {
        "name": target.served.model,
        "versions": versions(target.served),
        "platform": "scikit-learn",
        "inputs": describe_inputs(signature),
        "outputs": describe_outputs(signature),
    }


def versions(served: Served) -> list[str]:
    """Return the versions of a model that can be asked for."""
    return [variant.version for variant in served.variants()]


async def infer(
    plane: DataPlane, target: Target, body: Any, raw: memoryview, exchange: Exchange, *, unit: str | None
) -> Inference:
    """Return the answer to a decoded inference request; `raw` holds the data of its binary tensors.

    Raises:
        MalformedRequestError, MalformedColumnsError: The body is no inference request, or a tensor does not fit its
            own shape.
        SignatureMismatchError: The tensors do not fit the model.
        TooLargeError: There are more rows or columns than a request may have.
        InferenceError: The rows cannot be answered now.
    """
    if type(body) is not dict or type(body.get("inputs")) is not list or not body["inputs"]:
        raise MalformedRequestError("the body must be an object with a non-empty list 'inputs'")
    plane.check_columns(len(body["inputs"]))
    row = plain_row(body["inputs"]) if not raw else None
    tensors: Sequence[Tensor] = parse_inputs(body["inputs"], raw) if row is None else ()
    rows = rows_in(tensors) if row is None else 1
    plane.check_rows(rows)  # a shape like [2**40, 0] is any number of rows without a value
    own, extras = own_names(target), NOTHING
    if row is None:
        tensors, extras = split_tensors(tensors, own)
    elif row.keys() != own and (names := extra_names(row, own)):
        told = {name: [row.pop(name)] for name in names}
        extras = read_extras(names, told.__getitem__)
    parameters = body.get("parameters") or {}
    if type(parameters) is not dict:
        raise MalformedRequestError("'parameters' must be an object")
    unit = parameters.get("unit", unit)
    if unit is not None and (type(unit) is not str or not 0 < len(unit) <= _MAX_TEXT):
        raise MalformedRequestError(f"the unit must be a string of 1 to {_MAX_TEXT} characters")
    given_id = body.get("id")
    if given_id is not None and (type(given_id) is not str or len(given_id) > _MAX_TEXT):
        raise MalformedRequestError(f"'id' must be a string of at most {_MAX_TEXT} characters")
    wanted = parse_outputs(body.get("outputs"), parameters)

    def decode(signature: Signature, positions: Sequence[int] | None) -> tuple[EncodedColumns, Features]:
        if row is not None:
            with contextlib.suppress(SignatureMismatchError):  # said in the words of tensors below
                return columns_from_rows([row], signature), [row]
        sent = tensors_at(tensors or split_tensors(parse_inputs(body["inputs"], raw), own)[0], positions)
        try:
            columns = columns_from_tensors(sent, signature)
        except SignatureMismatchError as error:
            raise as_sent(error, positions) from None
        return columns, _features(sent, columns, rows if positions is None else len(positions))

    request = Request(
        id=exchange.request_id,
        protocol=PROTOCOL,
        rows=rows,
        decode=decode,
        started=exchange.started,
        units=units_of(extras, unit, rows),
        protected=extras.protected,
        caller_ids=extras.ids or ([given_id] if rows == 1 and given_id else None),
        params=model_params(parameters) if parameters else None,
        override=header_override(exchange),
    )
    answered = join_parts(await plane.answer(target, request), rows)
    return _encode(target, answered, request, given_id, wanted, shows_variant=exchange.principal.sees_variant)


def model_params(parameters: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the model's own parameters among a request's, None where there are none."""
    return {name: value for name, value in parameters.items() if name not in _RESERVED} or None


def _features(tensors: Sequence[Tensor], columns: EncodedColumns, rows: int) -> Features:
    """Return what is logged: what was sent where that was little and JSON, else the columns it became."""
    if rows > BULK_ROWS:
        return columns
    lists = {tensor.name: tensor.values for tensor in tensors if type(tensor.values) is list}
    return lists if lists.keys() == columns.keys() else dict(columns)


def _encode(
    target: Target, answered: Joined, request: Request, given_id: str | None, wanted: Wanted, *, shows_variant: bool
) -> Inference:
    outputs, raws = encode_outputs(answered.predictions, answered.signature, wanted)
    answer: dict[str, Any] = {
        "model_name": target.served.model,
        "model_version": answered.versions,
        "parameters": {"fairmind_prediction_id": request.id},
        "outputs": outputs,
    }
    if shows_variant:
        answer["parameters"]["fairmind_variant"] = answered.variants or ""
    if given_id is not None:
        answer["id"] = given_id
    body = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    if not wanted.raw:
        return Inference(body, answered.versions, answered.variants)
    return Inference(b"".join([body, *raws]), answered.versions, answered.variants, json_bytes=len(body))
