"""What is to be done in the registry, decided in the transaction of what it follows from, and done afterwards.

Everything in it may be done twice: whoever died before it noted that something was done does it again.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, select, update

from database.engine import insert_or_ignore, reading
from registry.errors import AliasConflictError, ModelNotFoundError, ReadOnlyRegistryError, RegistryError
from registry.promotion import OVERRIDE_TAG, promote
from registry.reference import CHALLENGER, CHAMPION, Reference
from registry.registry import Registry
from rollout.lease import Held, check
from rollout.serving_store import write_state
from rollout.tables import OUTBOX

_LONGEST_PROBLEM: Final = 500
_FILE_ATTEMPTS: Final = 17
"""How often a store is asked that takes no file: each time twice as late, for a day and a half."""
_SUPERSEDED: Final = "superseded: somebody decided otherwise by hand"

_log = logging.getLogger(__name__)


class Kind(StrEnum):
    """What is to be done: move the alias `champion`, write a tag on a version, or put a file beside its own."""

    PROMOTE = "promote"
    TAG = "tag"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class WaitingPromotion:
    """A promotion that was decided and whose alias has not moved. `problem` is None where nobody has tried yet."""

    model: str
    challenger_version: str
    since: datetime
    attempts: int
    problem: str | None

    @property
    def told(self) -> str:
        """What waits, why, and what a person can do about it."""
        why = f": {self.problem}" if self.problem else ""
        served = f"{self.model}/{self.challenger_version}"
        return (
            f"{served} serves, and the alias '{CHAMPION}' has not moved there yet{why}. It is tried again; "
            f"`fairmind models promote {served}`, or of the version that shall be champion instead, decides it"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-able values."""
        return {
            "since": self.since.isoformat(),
            "attempts": self.attempts,
            "problem": self.problem,
            "told": self.told,
        }


def post(
    connection: Connection, kind: Kind, *, key: str, model: str, payload: Mapping[str, Any], now: datetime
) -> None:
    """Ask for something to be done; what has been asked for under the same key is not asked for again."""
    row = {
        "key": key,
        "kind": str(kind),
        "model": model,
        "payload": dict(payload),
        "created_at": now,
        "attempts": 0,
    }
    connection.execute(insert_or_ignore(connection.engine, OUTBOX), row)


def is_waiting(connection: Connection, key: str) -> bool:
    """Return whether what was asked for under a key is not done yet."""
    found = select(OUTBOX.c.id).where(OUTBOX.c.key == key, OUTBOX.c.done_at.is_(None))
    return connection.execute(found).first() is not None


def waiting_promotion(connection: Connection, rollout_id: str) -> WaitingPromotion | None:
    """Return the promotion of a rollout that waits for the registry, None where none does."""
    waits = select(OUTBOX).where(OUTBOX.c.key == promotion_key(rollout_id), OUTBOX.c.done_at.is_(None))
    row = connection.execute(waits).first()
    if row is None:
        return None
    return WaitingPromotion(row.model, row.payload["version"], row.created_at, row.attempts, row.problem)


def promotion_key(rollout_id: str) -> str:
    """Return the key under which the alias is asked to be moved for a rollout."""
    return f"{rollout_id}:promote"


def has_work(engine: Engine) -> bool:
    """Return whether anything is not done yet."""
    with reading(engine) as connection:
        found = select(OUTBOX.c.id).where(OUTBOX.c.done_at.is_(None)).limit(1)
        return connection.execute(found).first() is not None


def supersede(engine: Engine, model: str, now: datetime) -> str | None:
    """Leave undone what waits to move a model's alias `champion`, for somebody decides otherwise by hand.

    Returns:
        The version that was champion before the rollout whose promotion waited; None where none did.
    """
    waits = (OUTBOX.c.model == model, OUTBOX.c.kind == Kind.PROMOTE, OUTBOX.c.done_at.is_(None))
    with engine.begin() as connection:
        left = connection.execute(select(OUTBOX).where(*waits).order_by(OUTBOX.c.id.desc())).first()
        if left is None:
            return None
        connection.execute(update(OUTBOX).where(*waits).values(done_at=now, problem=_SUPERSEDED))
    return str(left.payload["champion"])


def deliver(engine: Engine, registry: Registry, now: datetime, held: Held | None = None) -> int:
    """Do what waits, oldest first, and files last, which move nothing; return how much is left.

    What fails is noted, and tried again by the next call.

    Raises:
        LeaseLostError: Another controller has taken over from `held`.
    """
    with reading(engine) as connection:
        wanted = select(OUTBOX).where(OUTBOX.c.done_at.is_(None))
        waiting = list(connection.execute(wanted.order_by(OUTBOX.c.kind == Kind.FILE, OUTBOX.c.id)))
    left = 0
    for row in waiting:
        if not _still_waits(engine, row, held):
            continue  # somebody did it, or decided otherwise, while the ones before took their time
        if not _is_due(row, now):
            left += 1
            continue
        problem = _attempt(registry, row, now)
        if problem is not None and problem != row.problem:
            _log.warning("'%s' waits to be done in the registry: %s", row.key, problem)
        left += problem is not None
        with engine.begin() as connection:
            if held is not None:
                check(connection, held)
            _note(connection, row, problem, now)
    return left


def _still_waits(engine: Engine, row: Row[Any], held: Held | None) -> bool:
    with reading(engine) as connection:
        if held is not None:
            check(connection, held)
        return is_waiting(connection, row.key)


def _is_due(row: Row[Any], now: datetime) -> bool:
    """Return whether it is to be tried again: files less and less often, for a store may take none at all."""
    if row.kind != Kind.FILE:
        return True
    return bool(now - row.created_at >= timedelta(seconds=2 ** min(row.attempts, _FILE_ATTEMPTS) - 1))


def _attempt(registry: Registry, row: Row[Any], now: datetime) -> str | None:
    """Do it; return why it cannot be done now."""
    try:
        if row.kind == Kind.TAG:
            registry.set_tag(row.model, row.payload["version"], row.payload["key"], row.payload["value"])
        elif row.kind == Kind.FILE:
            _add_file(registry, row.model, row.payload)
        else:
            _promote(registry, row.model, row.payload, now)
    except ModelNotFoundError as error:
        # A version that somebody deleted takes nothing any more; an alias that cannot move must be seen.
        return str(error)[:_LONGEST_PROBLEM] if row.kind == Kind.PROMOTE else None
    except AliasConflictError as error:
        found, expected = (one or "no version" for one in (error.found, error.expected))
        return f"the alias '{error.alias}' was moved by somebody else: it is at {found}, and was at {expected}"
    except ReadOnlyRegistryError as error:
        if row.kind != Kind.FILE or row.attempts < _FILE_ATTEMPTS:
            return str(error)[:_LONGEST_PROBLEM]  # of files, a store that is away for a while looks alike
        _log.warning("'%s' stays here: %s", row.key, error)
    except (RegistryError, OSError) as error:
        return str(error)[:_LONGEST_PROBLEM]
    return None


def _add_file(registry: Registry, model: str, payload: Mapping[str, Any]) -> None:
    version = registry.find(Reference(model, version=payload["version"]))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / payload["name"]).write_text(payload["content"], encoding="utf-8")
        registry.add_files(version, Path(folder), payload["place"])


def _promote(registry: Registry, model: str, payload: Mapping[str, Any], now: datetime) -> None:
    version = registry.find(Reference(model, version=payload["version"]))
    if not payload["alias_moved"]:
        _check_alias(registry, model, {payload["champion"], version.version}, payload["champion"])
    # Its gates were asked when the rollout began; who overrode them then did so for what it leads to.
    override = payload.get("override") or version.tags.get(f"{OVERRIDE_TAG}.reason")
    reference = Reference(model, version=version.version)
    promotion = promote(registry, reference, alias=CHAMPION, override=override, actor=payload["actor"], now=now)
    if CHALLENGER in promotion.version.aliases:
        registry.delete_alias(model, CHALLENGER)  # the champion challenges nobody


def _check_alias(registry: Registry, model: str, known: set[str], expected: str) -> None:
    """Refuse to overwrite an alias that somebody moved: where it went is a decision, too."""
    try:
        holder = registry.find(Reference(model, alias=CHAMPION)).version
    except ModelNotFoundError:
        holder = None
    if holder not in known:
        raise AliasConflictError(model, CHAMPION, expected=expected, found=holder)


def _note(connection: Connection, row: Row[Any], problem: str | None, now: datetime) -> None:
    done = None if problem is not None else now
    noted = connection.execute(
        update(OUTBOX)
        .where(OUTBOX.c.id == row.id, OUTBOX.c.done_at.is_(None))
        .values(done_at=done, problem=problem, attempts=OUTBOX.c.attempts + 1)
    )
    if done is not None and row.kind == Kind.PROMOTE and noted.rowcount:
        # A new epoch: whoever read the aliases before they moved must look again before they follow them.
        write_state(connection, row.model, now)
