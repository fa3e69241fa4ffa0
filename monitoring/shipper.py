"""Moves segments of the prediction log into the database, each record exactly once."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, delete, select
from sqlalchemy.exc import SQLAlchemyError

from database.engine import insert_or_ignore, reading
from monitoring.predictions import SEGMENT_SUFFIX
from monitoring.tables import FEATURE_BLOCK, PREDICTION, PROTECTED_ATTRIBUTE, SEGMENT

_log = logging.getLogger(__name__)
_CHUNK_BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class Shipment:
    """What one look at the spool did: rows inserted, bytes still waiting."""

    rows: int
    waiting_bytes: int


class Shipper:
    """Ships the segments in `spool`; only one may be at work on a spool at a time (the caller holds a lock)."""

    def __init__(self, spool: Path, engine: Engine) -> None:
        spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._spool, self._engine = spool, engine
        self._offsets: dict[str, int] | None = None

    def ship(self) -> Shipment:
        """Ship all complete lines there are and remove segments that are done and have lost their writer.

        Raises:
            SQLAlchemyError: The database refused; nothing is lost, the next call tries again.
        """
        if self._offsets is None:
            with reading(self._engine) as connection:
                self._offsets = {row.name: row.offset for row in connection.execute(select(SEGMENT))}
        rows = waiting = 0
        for path in sorted(self._spool.glob(f"*{SEGMENT_SUFFIX}")):
            try:
                rows += self._ship_segment(path, self._offsets)
            except SQLAlchemyError:
                self._offsets = None
                raise
            if path.exists():
                waiting += path.stat().st_size - self._offsets.get(path.name, 0)
        return Shipment(rows, waiting)

    def _ship_segment(self, path: Path, offsets: dict[str, int]) -> int:
        rows = 0
        file = os.open(path, os.O_RDONLY)
        try:
            # Asked before the last read: a writer that is gone now can add nothing after it.
            is_abandoned = _try_lock(file)
            while chunk := os.pread(file, _CHUNK_BYTES, offset := offsets.get(path.name, 0)):
                end = chunk.rfind(b"\n") + 1
                if not end:
                    chunk = os.pread(file, os.fstat(file).st_size - offset, offset)  # one very large record
                    end = chunk.rfind(b"\n") + 1
                if not end:
                    break
                rows += self._insert(path.name, chunk[:end], offset + end)
                offsets[path.name] = offset + end
            if is_abandoned:
                torn = os.fstat(file).st_size - offsets.get(path.name, 0)
                if torn:
                    _log.warning(
                        "segment %s ends in %d bytes of a request that was never answered", path.name, torn
                    )
                path.unlink()
                with self._engine.begin() as connection:
                    connection.execute(delete(SEGMENT).where(SEGMENT.c.name == path.name))
                offsets.pop(path.name, None)
        finally:
            os.close(file)
        return rows

    def _insert(self, name: str, lines: bytes, offset: int) -> int:
        records = [orjson.loads(line) for line in lines.splitlines()]
        predictions = [row for record in records for row in _prediction_rows(record)]
        with self._engine.begin() as connection:
            self._insert_all(connection, "prediction", predictions)
            self._insert_all(connection, "feature_block", [_feature_row(record) for record in records])
            self._insert_all(
                connection, "protected", [row for record in records for row in _protected_rows(record)]
            )
            connection.execute(delete(SEGMENT).where(SEGMENT.c.name == name))
            connection.execute(SEGMENT.insert(), {"name": name, "offset": offset})
        return len(predictions)

    def _insert_all(self, connection: Connection, kind: str, rows: list[dict[str, Any]]) -> None:
        tables = {"prediction": PREDICTION, "feature_block": FEATURE_BLOCK, "protected": PROTECTED_ATTRIBUTE}
        if rows:
            connection.execute(insert_or_ignore(self._engine, tables[kind]), rows)


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


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
