"""`POST /predict`: our own protocol, and what BentoML's clients speak.

{"instances": [{"features": {…}, "unit": "…", "protected": {…}, "id": "…"}], "model": "…"}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from bentos.dataplane import DataPlane, Features, Part, Request, scores
from bentos.errors import MalformedRequestError
from bentos.wire import Exchange
from inference.columns import columns_from_rows
from inference.errors import SignatureMismatchError
from inference.runtime import Columns
from inference.signature import Signature, Task

PROTOCOL: Final = "predict"
_BODY_KEYS: Final = frozenset({"instances", "model"})
_INSTANCE_KEYS: Final = frozenset({"features", "unit", "protected", "id"})
_MAX_TEXT: Final = 200


async def predict(plane: DataPlane, body: Any, exchange: Exchange) -> bytes:
    """Return the JSON answer of a decoded `/predict` body.

    Raises:
        MalformedRequestError: The body has another shape.
        SignatureMismatchError: An instance does not fit; names row and column.
        InferenceError: The rows cannot be answered now.
    """
    if type(body) is not dict:
        raise MalformedRequestError("the body must be an object with 'instances'")
    if not body.keys() <= _BODY_KEYS:
        raise MalformedRequestError("the body may have 'instances' and 'model' and nothing else")
    model = body.get("model")
    if model is not None and type(model) is not str:
        raise MalformedRequestError("'model' must be a string")
    instances = body.get("instances")
    if type(instances) is not list:
        raise MalformedRequestError("'instances' must be a list")
    target = plane.find(model)
    exchange.model = target.served.model
    features = [_features(instance, row) for row, instance in enumerate(instances)]

    def decode(signature: Signature, positions: Sequence[int] | None) -> tuple[Columns, Features]:
        if positions is None:
            return columns_from_rows(features, signature), features
        rows = [features[position] for position in positions]
        try:
            return columns_from_rows(rows, signature), rows
        except SignatureMismatchError as error:  # rows are counted as the client sent them
            row = None if error.row is None else positions[error.row]
            raise SignatureMismatchError(error.reason, column=error.column, row=row) from None

    request = Request(
        id=exchange.request_id,
        protocol=PROTOCOL,
        rows=len(instances),
        decode=decode,
        started=exchange.started,
        units=_texts(instances, "unit"),
        protected=_protected(instances),
        caller_ids=_texts(instances, "id"),
    )
    parts = await plane.answer(target, request)
    return _encode(parts, request)


def _features(instance: Any, row: int) -> Mapping[str, Any]:
    if type(instance) is not dict:
        raise SignatureMismatchError("must be an object with 'features'", row=row)
    if not instance.keys() <= _INSTANCE_KEYS:
        raise SignatureMismatchError("may have 'features', 'unit', 'protected' and 'id' and nothing else", row=row)
    if type(features := instance.get("features")) is not dict:
        raise SignatureMismatchError("'features' must be an object of column names and values", row=row)
    return features


def _texts(instances: Sequence[Mapping[str, Any]], key: str) -> list[str | None] | None:
    values = [instance.get(key) for instance in instances]
    kinds = set(map(type, values))
    if kinds == {type(None)}:
        return None
    if not kinds <= {str, type(None)}:
        row = next(i for i, value in enumerate(values) if value is not None and type(value) is not str)
        raise SignatureMismatchError(f"'{key}' must be a string", row=row)
    for row, value in enumerate(values):
        if value is not None and not 0 < len(value) <= _MAX_TEXT:
            raise SignatureMismatchError(f"'{key}' must have 1 to {_MAX_TEXT} characters", row=row)
    return values


def _protected(instances: Sequence[Mapping[str, Any]]) -> list[Mapping[str, str | None] | None] | None:
    values = [instance.get("protected") for instance in instances]
    if not any(values):
        return None
    for row, value in enumerate(values):
        if value is None:
            continue
        if type(value) is not dict or not all(item is None or type(item) is str for item in value.values()):
            raise SignatureMismatchError("'protected' must be an object of names and strings", row=row)
    return values


def _encode(parts: Sequence[Part], request: Request) -> bytes:
    answers: list[dict[str, Any] | None] = [None] * request.rows
    for part in parts:
        signature = part.variant.batcher.model.signature
        common = {"variant": part.variant.name, "model_version": part.variant.version}
        labels = part.predictions.prediction.tolist()
        values = scores(part)
        probabilities = part.predictions.probabilities
        for index, position in enumerate(part.positions):
            answer: dict[str, Any] = {"prediction": labels[index]}
            if signature.task is Task.BINARY:
                answer["probability"] = values[index]
            elif signature.task is Task.MULTICLASS and probabilities is not None:
                names = map(str, signature.classes)
                answer["probabilities"] = dict(zip(names, probabilities[index].tolist(), strict=True))
            answer["prediction_id"] = f"{request.id}-{position}"
            answers[position] = answer | common
    return orjson.dumps({"predictions": answers})
