"""`POST /predict`: our own protocol, and what BentoML's clients speak.

{"instances": [{"features": {…}, "unit": "…", "protected": {…}, "id": "…"}], "model": "…"}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import orjson

from bentos.dataplane import DataPlane, Features, Part, Request, Values
from bentos.errors import MalformedRequestError
from bentos.row_extras import header_override
from bentos.wire import Exchange
from inference.chosen_rows import as_sent
from inference.columns import columns_from_rows
from inference.errors import SignatureMismatchError
from inference.runtime import Columns
from inference.signature import Signature, Task
from monitoring.predictions import BULK_ROWS

PROTOCOL: Final = "predict"
_BODY_KEYS: Final = frozenset({"instances", "model"})
_INSTANCE_KEYS: Final = frozenset({"features", "unit", "protected", "id"})
_MAX_TEXT: Final = 200
_TEXT_OR_NONE: Final = frozenset({str, type(None)})


async def predict(plane: DataPlane, body: Any, exchange: Exchange) -> bytes:
    """Return the JSON answer of a decoded `/predict` body.

    Raises:
        MalformedRequestError: The body has another shape.
        SignatureMismatchError: An instance does not fit; names row and column.
        TooLargeError: There are more rows or columns than a request may have.
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
    plane.check_columns(max(map(len, features), default=0))

    def decode(signature: Signature, positions: Sequence[int] | None) -> tuple[Columns, Features]:
        if positions is None:
            columns = columns_from_rows(features, signature)
            return columns, columns if len(features) > BULK_ROWS else features
        rows = [features[position] for position in positions]
        try:
            return columns_from_rows(rows, signature), rows
        except SignatureMismatchError as error:  # rows are counted as the client sent them
            raise as_sent(error, positions) from None

    request = Request(
        id=exchange.request_id,
        protocol=PROTOCOL,
        rows=len(instances),
        decode=decode,
        started=exchange.started,
        units=_texts(instances, "unit"),
        protected=_protected(instances),
        caller_ids=_texts(instances, "id"),
        override=header_override(exchange),
    )
    parts = await plane.answer(target, request)
    return _encode(parts, request, shows_variant=exchange.principal.sees_variant)


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
    given = False
    for row, value in enumerate(values):
        if value is None:
            continue
        if type(value) is not str:
            raise SignatureMismatchError(f"'{key}' must be a string", row=row)
        if not 0 < len(value) <= _MAX_TEXT:
            raise SignatureMismatchError(f"'{key}' must have 1 to {_MAX_TEXT} characters", row=row)
        given = True
    return values if given else None


def _protected(instances: Sequence[Mapping[str, Any]]) -> list[Mapping[str, str | None] | None] | None:
    values = [instance.get("protected") for instance in instances]
    if not any(values):
        return None
    for row, value in enumerate(values):
        if value is None:
            continue
        if type(value) is not dict or not _TEXT_OR_NONE.issuperset(map(type, value.values())):
            raise SignatureMismatchError("'protected' must be an object of names and strings", row=row)
    return values


def _encode(parts: Sequence[Part], request: Request, *, shows_variant: bool) -> bytes:
    answers: list[dict[str, Any] | None] = [None] * request.rows
    for part in parts:
        signature = part.variant.batcher.model.signature
        name, version = part.variant.name, part.version
        labels = _listed(part.labels)
        values = _listed(part.scores) if signature.task is Task.BINARY and part.scores is not None else None
        probabilities = part.predictions.probabilities if signature.task is Task.MULTICLASS else None
        for index, position in enumerate(part.positions):
            answer: dict[str, Any] = {"prediction": labels[index]}
            if values is not None:
                answer["probability"] = values[index]
            elif probabilities is not None:
                names = map(str, signature.classes)
                answer["probabilities"] = dict(zip(names, probabilities[index].tolist(), strict=True))
            answer["prediction_id"] = f"{request.id}-{position}"
            if shows_variant:
                answer["variant"] = name
            answer["model_version"] = version
            answers[position] = answer
    return orjson.dumps({"predictions": answers})


def _listed(values: Values) -> list[Any]:
    return values if type(values) is list else np.asarray(values).tolist()
