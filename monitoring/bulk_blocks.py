"""Bulk records in the database: one row for more than `BULK_ROWS` predictions, packed."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

import orjson
from sqlalchemy import Connection, RowMapping, Select, select

from monitoring.bulk import plain_positions, plain_values
from monitoring.tables import BULK_BLOCK

_QUICKEST: Final = 1
_PACKED: Final = ("positions", "predictions", "scores", "unit_hashes", "cohorts")
_IDS_PER_STATEMENT: Final = 5_000


@dataclass(frozen=True, slots=True)
class BulkBlock:
    """The rows of one bulk record; the values of row i have the place i in every sequence.

    Row i's prediction id is `<request_id>-<positions[i]>`. `variant` is None where the version was asked for by
    number; a sequence is None where no row has such a value, `protected` also once it is too old to be kept.
    """

    request_id: str
    model: str
    model_version: str
    variant: str | None
    served_at: datetime
    epoch: int
    rollout_id: str | None
    protocol: str
    latency_us: int
    positions: Sequence[int]
    predictions: Sequence[Any]
    scores: Sequence[float | None] | None
    unit_hashes: Sequence[str | None] | None
    cohorts: Sequence[str | None] | None
    protected: Sequence[Mapping[str, str | None] | None] | None

    def prediction_ids(self) -> list[str]:
        """Return the id of each row."""
        return [f"{self.request_id}-{position}" for position in self.positions]


def block_row(record: Mapping[str, Any], rows: int) -> tuple[Any, ...]:
    """Return the row of `BULK_BLOCK` that is a decoded line; values stay in the form they have in it."""
    protected = record["protected"]
    return (
        record["request_id"],
        record["model_version"],
        record["variant"] or "",
        datetime.fromtimestamp(record["served_at"], UTC),
        record["model"],
        record["epoch"],
        record["rollout_id"],
        record["protocol"],
        record["latency_us"],
        rows,
        _packed({name: record.get(name) for name in _PACKED}),
        None if protected is None else _packed(protected),
    )


def read_bulk_blocks(connection: Connection, request_ids: Iterable[str]) -> dict[str, list[BulkBlock]]:
    """Return the bulk blocks of requests that have any; one per model version that answered rows of a request."""
    found: defaultdict[str, list[BulkBlock]] = defaultdict(list)
    ids = iter(sorted(set(request_ids)))
    while some := list(islice(ids, _IDS_PER_STATEMENT)):
        for block in iterate_bulk_blocks(connection, select(BULK_BLOCK).where(BULK_BLOCK.c.request_id.in_(some))):
            found[block.request_id].append(block)
    return dict(found)


def iterate_bulk_blocks(connection: Connection, statement: Select[Any]) -> Iterator[BulkBlock]:
    """Yield the blocks that a statement over whole rows of `BULK_BLOCK` selects; one at a time is unpacked."""
    for row in connection.execute(statement).mappings():
        yield _block(row)


def _block(row: RowMapping) -> BulkBlock:
    content = _unpacked(row["content"])
    return BulkBlock(
        request_id=row["request_id"],
        model=row["model"],
        model_version=row["model_version"],
        variant=row["variant"] or None,
        served_at=row["served_at"],
        epoch=row["epoch"],
        rollout_id=row["rollout_id"],
        protocol=row["protocol"],
        latency_us=row["latency_us"],
        positions=plain_positions(content["positions"], row["rows"]),
        predictions=plain_values(content["predictions"]),
        scores=plain_values(content["scores"]),
        unit_hashes=plain_values(content["unit_hashes"]),
        cohorts=plain_values(content["cohorts"]),
        protected=None if row["protected"] is None else _unpacked(row["protected"]),
    )


def _packed(value: Any) -> bytes:
    return zlib.compress(orjson.dumps(value), _QUICKEST)


def _unpacked(content: bytes) -> Any:
    return orjson.loads(zlib.decompress(content))
