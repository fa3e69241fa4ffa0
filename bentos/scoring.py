"""From a table of a request to one JSON value per row: what MLflow's scoring protocol and KServe V1 share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bentos.dataplane import DataPlane, Features, Request
from bentos.joined_parts import Joined, join_parts
from bentos.row_extras import extra_names, header_override, header_unit, own_names, read_extras, units_of
from bentos.served import Target, Variant
from bentos.wire import Exchange
from inference.runtime import EncodedColumns
from inference.scoring_tables import Table
from inference.signature import Signature


@dataclass(frozen=True, slots=True)
class Scored:
    """The answer to each row in order, in a form for JSON, and the headers that tell what answered."""

    predictions: Any
    headers: list[tuple[bytes, bytes]]


async def score(
    plane: DataPlane,
    target: Target,
    table: Table,
    exchange: Exchange,
    *,
    params: Mapping[str, Any] | None = None,
) -> Scored:
    """Return what the versions' `predict` answers to the rows of a table.

    Raises:
        MalformedRequestError: The unit in the header is none.
        MalformedColumnsError, SignatureMismatchError: The table does not fit the model, or a column that says
            something about a row (`bentos.row_extras`) does not say it in strings.
        TooLargeError: There are more rows or columns than a request may have.
        InferenceError: The rows cannot be answered now.
    """
    plane.check_rows(table.rows)
    plane.check_columns(len(table.names))
    unit = header_unit(exchange)
    extras = read_extras(extra_names(table.names, own_names(target)), table.values)

    def decode(signature: Signature, positions: Sequence[int] | None) -> tuple[EncodedColumns, Features]:
        columns = table.columns(signature, positions)
        return columns, dict(columns)

    request = Request(
        id=exchange.request_id,
        protocol=exchange.protocol,
        rows=table.rows,
        decode=decode,
        started=exchange.started,
        units=units_of(extras, unit, table.rows),
        protected=extras.protected,
        caller_ids=extras.ids,
        params=params or None,
        override=header_override(exchange),
    )
    parts = await plane.answer(target, request)
    answered = join_parts(parts, table.rows)
    return Scored(
        _listed(answered, parts[0].variant),
        _headers(request.id, answered, shows_variant=exchange.principal.sees_variant),
    )


def _headers(request_id: str, answered: Joined, *, shows_variant: bool) -> list[tuple[bytes, bytes]]:
    """Return the headers that tell a caller what answered."""
    told = [
        (b"x-fairmind-prediction-id", request_id.encode()),
        (b"x-fairmind-model-version", answered.versions.encode()),
    ]
    return [*told, (b"x-fairmind-variant", (answered.variants or "").encode())] if shows_variant else told


def _listed(answered: Joined, variant: Variant) -> Any:
    """Return the predictions as MLflow's server writes them: labels or values, and several per row as objects where
    the model itself names them, as lists where the names are only ours: no compiled model names any."""
    values, outputs = answered.predictions.prediction, answered.signature.outputs
    if values.ndim == 2 and outputs != tuple(map(str, range(values.shape[1]))):
        if not variant.batcher.model.is_remote:  # compiled
            return values.tolist()
        return [dict(zip(outputs, row, strict=True)) for row in values.tolist()]
    return values.tolist()
