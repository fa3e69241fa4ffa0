"""Replays in the control database: asked for, run one after the other, kept, found and listed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Engine, Row, func, insert, select, update

from database.engine import reading
from registry.versions import ModelVersion
from replay.errors import NoReplayReportError, ReplayNotFoundError, ReplayQueueFullError
from replay.result import ReplayResult
from rollout.replayed import DONE
from rollout.tables import REPLAY


class ReplayState(StrEnum):
    """How far a replay is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = DONE
    FAILED = "failed"


_WAITING: Final = (ReplayState.QUEUED, ReplayState.RUNNING)
_ATTEMPTS: Final = 2
"""A replay that was begun so often and never ended may be what ended the process."""
_LIGHT: Final = [column for column in REPLAY.c if column.name not in {"result", "request"}]


@dataclass(frozen=True, slots=True)
class StoredReplay:
    """A replay as it is listed; `rows` is how many were compared, once that is known."""

    id: str
    model: str
    challenger_version: str
    challenger_digest: str | None
    against_version: str
    against_digest: str | None
    since: datetime
    until: datetime
    state: ReplayState
    progress: float
    reason: str | None
    actor: str
    verdict: str | None
    rows: int | None
    created_at: datetime
    finished_at: datetime | None

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-able values."""
        times = ("since", "until", "created_at", "finished_at")
        return asdict(self) | {name: (time := getattr(self, name)) and time.isoformat() for name in times}


@dataclass(frozen=True, slots=True)
class Asked:
    """A replay that is asked for: of which versions, over which window; `request` is what else was said."""

    id: str
    challenger: ModelVersion
    against: ModelVersion
    since: datetime
    until: datetime
    actor: str
    request: Mapping[str, Any]


def submit(engine: Engine, asked: Asked, *, limit: int, now: datetime) -> None:
    """Let a replay wait for its turn.

    Raises:
        ReplayQueueFullError: `limit` of them wait or run.
    """
    waiting = select(func.count()).select_from(REPLAY).where(REPLAY.c.state.in_(_WAITING))
    with engine.begin() as connection:
        if connection.execute(waiting).scalar_one() >= limit:
            raise ReplayQueueFullError(limit)
        _insert(connection, asked, ReplayState.QUEUED, now)


def keep(connection: Connection, asked: Asked, result: ReplayResult, now: datetime) -> None:
    """Keep a replay that was run without waiting."""
    _insert(connection, asked, ReplayState.RUNNING, now)
    change(connection, asked.id, outcome_of(result, now))


def take(engine: Engine, now: datetime) -> tuple[StoredReplay, dict[str, Any]] | None:
    """Return the replay that has waited longest, now running, with what was asked; None where none waits."""
    columns = REPLAY.c
    oldest = (
        select(REPLAY).where(columns.state == ReplayState.QUEUED).order_by(columns.created_at, columns.id).limit(1)
    )
    with reading(engine) as connection:  # looked at often: no write lock unless there is something to take
        if connection.execute(oldest.with_only_columns(columns.id)).first() is None:
            return None
    with engine.begin() as connection:
        row = connection.execute(oldest).first()
        if row is None:
            return None
        mine = (columns.id == row.id) & (columns.state == ReplayState.QUEUED)
        values = {"state": ReplayState.RUNNING, "attempts": columns.attempts + 1, "touched_at": now}
        taken = connection.execute(update(REPLAY).where(mine).values(**values))
        return (_stored(row), row.request) if taken.rowcount else None


def touch(engine: Engine, replay_id: str, progress: float, now: datetime) -> None:
    """Say how far a running replay is, from 0 to 1, and that it still runs."""
    with engine.begin() as connection:
        change(connection, replay_id, {"progress": progress, "touched_at": now})


def change(connection: Connection, replay_id: str, values: Mapping[str, Any]) -> bool:
    """Change a replay that runs; return whether it did."""
    running = (REPLAY.c.id == replay_id) & (REPLAY.c.state == ReplayState.RUNNING)
    return bool(connection.execute(update(REPLAY).where(running).values(**values)).rowcount)


def outcome_of(result: ReplayResult, now: datetime) -> dict[str, Any]:
    """Return what a replay's row says once it is done."""
    return {
        "state": ReplayState.DONE,
        "progress": 1.0,
        "verdict": str(result.verdict),
        "rows": result.rows.compared,
        "result": result.model_dump(mode="json"),
        "finished_at": now,
        "touched_at": now,
    }


def fail(engine: Engine, replay_id: str, reason: str, now: datetime) -> None:
    """End a replay without a result."""
    with engine.begin() as connection:
        values = {"state": ReplayState.FAILED, "reason": reason, "finished_at": now, "touched_at": now}
        change(connection, replay_id, values)


def recover(engine: Engine, *, untouched_since: datetime, now: datetime) -> None:
    """Let replays wait again that seem to run and were not heard of for so long: their process ended.

    One that was begun twice before is given up: it may be what ended it.
    """
    columns = REPLAY.c
    lost = (columns.state == ReplayState.RUNNING) & (columns.touched_at <= untouched_since)
    gone = lost & (columns.attempts >= _ATTEMPTS)
    reason = "it was begun twice, and the process ended both times before it was done"
    with engine.begin() as connection:
        connection.execute(
            update(REPLAY).where(gone).values(state=ReplayState.FAILED, reason=reason, finished_at=now)
        )
        connection.execute(update(REPLAY).where(lost).values(state=ReplayState.QUEUED, progress=0.0))


def find(engine: Engine, replay_id: str) -> tuple[StoredReplay, ReplayResult | None]:
    """Return one replay, with what it found once it is done.

    Raises:
        ReplayNotFoundError: There is none of this id.
    """
    with reading(engine) as connection:
        row = connection.execute(select(REPLAY).where(REPLAY.c.id == replay_id)).first()
    if row is None:
        raise ReplayNotFoundError(replay_id)
    return _stored(row), None if row.result is None else ReplayResult.model_validate(row.result)


def result_of(engine: Engine, replay_id: str) -> ReplayResult:
    """Return what a replay found.

    Raises:
        ReplayNotFoundError: There is none of this id.
        NoReplayReportError: It is not done.
    """
    stored, result = find(engine, replay_id)
    if result is None:
        raise NoReplayReportError(
            replay_id, f"it is {stored.state}" + (f" ({stored.reason})" if stored.reason else "")
        )
    return result


def listed(engine: Engine, *, model: str | None = None, limit: int = 50, offset: int = 0) -> list[StoredReplay]:
    """Return replays, of one model where it is named, newest first."""
    conditions: list[ColumnElement[bool]] = [] if model is None else [REPLAY.c.model == model]
    newest = select(*_LIGHT).where(*conditions).order_by(REPLAY.c.created_at.desc(), REPLAY.c.id.desc())
    with reading(engine) as connection:
        return [_stored(row) for row in connection.execute(newest.limit(limit).offset(offset))]


def _insert(connection: Connection, asked: Asked, state: ReplayState, now: datetime) -> None:
    row = {
        "id": asked.id,
        "model": asked.challenger.name,
        "challenger_version": asked.challenger.version,
        "challenger_digest": asked.challenger.digest,
        "against_version": asked.against.version,
        "against_digest": asked.against.digest,
        "since": asked.since,
        "until": asked.until,
        "state": state,
        "progress": 0.0,
        "attempts": 0,
        "actor": asked.actor,
        "request": dict(asked.request),
        "created_at": now,
        "touched_at": now,
    }
    connection.execute(insert(REPLAY), row)


def _stored(row: Row[Any]) -> StoredReplay:
    kept = {name: getattr(row, name) for name in StoredReplay.__dataclass_fields__}
    return StoredReplay(**kept | {"state": ReplayState(row.state)})
