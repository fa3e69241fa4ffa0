"""A line of the prediction log as rows of its tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from monitoring.bulk import plain_positions, plain_values

_BULK = re.compile(rb'\{"(?:dtype|distinct|range|base64|codes)"')
"""What each value in the bulk form begins with; a feature of that name costs its record a second look, no more."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one record."""

    predictions: list[dict[str, Any]]
    features: dict[str, Any]
    protected: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a segment; `rows` is None where it is no record that can be stored, `problem` the kind of error."""

    content: bytes
    rows: Rows | None
    problem: str = ""


def decode(line: bytes) -> Line:
    """Return a line with the rows in it; whatever is wrong with it, this raises nothing."""
    try:
        record = orjson.loads(line)
        if _BULK.search(line) is not None:
            record = _plain(record)
        rows = Rows(list(_prediction_rows(record)), _feature_row(record), list(_protected_rows(record)))
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, OSError) as error:
        return Line(line, None, type(error).__name__)
    return Line(line, rows)


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record without the bulk form."""
    features = record["features"]
    if type(features) is dict:
        features = {name: plain_values(values) for name, values in features.items()}
    predictions = plain_values(record["predictions"])
    return record | {
        "positions": plain_positions(record["positions"], len(predictions)),
        "predictions": predictions,
        "scores": plain_values(record["scores"]),
        "features": features,
        "unit_hashes": plain_values(record["unit_hashes"]),
        "cohorts": plain_values(record.get("cohorts")),
    }


def _at(values: list[Any] | None, index: int) -> Any:
    return None if values is None else values[index]


def _prediction_rows(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    served_at = datetime.fromtimestamp(record["served_at"], UTC)
    for index, position in enumerate(record["positions"]):
        yield {
            "prediction_id": f"{record['request_id']}-{position}",
            "request_id": record["request_id"],
            "served_at": served_at,
            "model": record["model"],
            "model_version": record["model_version"],
            "variant": record["variant"],
            "epoch": record["epoch"],
            "rollout_id": record["rollout_id"],
            "protocol": record["protocol"],
            "unit_hash": _at(record["unit_hashes"], index),
            "cohort": _at(record["cohorts"], index),
            "caller_id": _at(record["caller_ids"], index),
            "prediction": record["predictions"][index],
            "score": _at(record["scores"], index),
            "latency_us": record["latency_us"],
        }


def _feature_row(record: dict[str, Any]) -> dict[str, Any]:
    return {
        "request_id": record["request_id"],
        "model_version": record["model_version"],
        "variant": record["variant"] or "",
        "positions": record["positions"],
        "features": record["features"],
    }


def _protected_rows(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for index, position in enumerate(record["positions"]):
        for attribute, value in (_at(record["protected"], index) or {}).items():
            yield {
                "prediction_id": f"{record['request_id']}-{position}",
                "attribute": attribute,
                "value": value,
            }
