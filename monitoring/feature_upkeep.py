"""Upkeep of the feature store: many small files become few, and what is too old or too much goes.

A file is let go by a time in its row: until then, whoever has begun to read it may finish.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, Final

from sqlalchemy import Engine, Row, delete, func, select, update

from database.engine import insert_or_ignore, reading
from monitoring.feature_store import FeatureStore, feature_path
from monitoring.feature_table import unified
from monitoring.retention import RetentionPolicy
from monitoring.tables import FEATURE_FILE

_FILE = FEATURE_FILE.c
_LATE: Final = timedelta(minutes=10)
_GRACE: Final = timedelta(minutes=10)
_UNFINISHED: Final = timedelta(hours=1)
_LARGE_BYTES: Final = 32_000_000
_MERGED_BYTES: Final = 64_000_000
_MERGED_FILES: Final = 500

File = Row[Any]


class FeatureUpkeep:
    """Merges, expires and removes files; beside the archive, one at a time (the caller holds a lock)."""

    def __init__(self, engine: Engine, store: FeatureStore, policy: RetentionPolicy) -> None:
        self._engine, self._store, self._policy = engine, store, policy

    def merge(self, now: datetime) -> int:
        """Merge the files of one hour, or of one day, that is over; return how many files became one, 0: none.

        The files of an hour become one ten minutes later, those of a day when it is over; larger ones stay. Each
        row is written anew twice at most. Nobody is shown the rows again.

        Raises:
            SQLAlchemyError, OSError: The database or the store is away or failed; nothing changed.
        """
        for files, level, name in self._mergeable(now):
            self._merge(files, level, name, now)
            return len(files)
        return 0

    def expire(self, now: datetime) -> int:
        """Let go of files that are too old, and of the oldest where there are too many bytes; return how many."""
        live = _FILE.remove_at.is_(None)
        let_go = update(FEATURE_FILE).values(remove_at=now + _GRACE)
        expired = 0
        with self._engine.begin() as connection:
            if self._policy.features is not None:
                old = let_go.where(live, _FILE.last_served_at < now - self._policy.features)
                expired += connection.execute(old).rowcount
            bound = self._policy.features_bytes
            if bound is not None:
                used = connection.execute(select(func.coalesce(func.sum(_FILE.bytes), 0)).where(live)).scalar_one()
                too_much = int(used) - bound
                oldest = select(_FILE.path, _FILE.bytes).where(live).order_by(_FILE.last_served_at, _FILE.path)
                for path, size in connection.execute(oldest).all() if too_much > 0 else ():
                    if too_much <= 0:
                        break
                    connection.execute(let_go.where(_FILE.path == path))
                    too_much -= size
                    expired += 1
        return expired

    def sweep(self, now: datetime) -> int:
        """Remove the files that were let go of and whose time has come; return how many."""
        with reading(self._engine) as connection:
            statement = select(_FILE.path).where(_FILE.remove_at <= now).limit(_MERGED_FILES)
            paths = connection.execute(statement).scalars().all()
        for path in paths:
            self._store.remove(path)
            with self._engine.begin() as connection:
                connection.execute(delete(FEATURE_FILE).where(_FILE.path == path))
        return len(paths)

    def _mergeable(self, now: datetime) -> Iterator[tuple[Sequence[File], int, str]]:
        hour = (now - _LATE).replace(minute=0, second=0, microsecond=0)
        day = (now - _LATE).replace(hour=0, minute=0, second=0, microsecond=0)
        for level, name, over in ((1, "%H", hour), (2, "all", day)):
            groups: defaultdict[tuple[str, str, str, str], list[File]] = defaultdict(list)
            statement = (
                select(FEATURE_FILE)
                .where(_FILE.remove_at.is_(None), _FILE.level < level, _FILE.bytes < _LARGE_BYTES)
                .where(_FILE.last_served_at < over)
                .order_by(_FILE.first_served_at, _FILE.path)
            )
            with reading(self._engine) as connection:
                for file in connection.execute(statement):
                    served = file.first_served_at
                    groups[file.model, file.model_version, f"{served:%Y-%m-%d}", served.strftime(name)].append(file)
            for (*_, part), files in groups.items():
                for some in _bounded(files):
                    yield some, level, part

    def _merge(self, files: Sequence[File], level: int, name: str, now: datetime) -> None:
        """Write a file, and in one transaction let it stand for others; it is known before it is written."""
        paths = [file.path for file in files]
        named = f"{name}-{blake2b('/'.join(paths).encode(), digest_size=8).hexdigest()}"
        first = files[0]
        path = feature_path(first.model, first.model_version, first.first_served_at, named)
        merged = {
            "path": path,
            "model": first.model,
            "model_version": first.model_version,
            "level": level,
            "rows": sum(file.rows for file in files),
            "bytes": sum(file.bytes for file in files),
            "first_served_at": min(file.first_served_at for file in files),
            "last_served_at": max(file.last_served_at for file in files),
            "remove_at": now + _UNFINISHED,
        }
        with self._engine.begin() as connection:
            connection.execute(insert_or_ignore(self._engine, FEATURE_FILE), merged)
        size = self._store.write(path, unified([self._store.read(file) for file in paths]))
        with self._engine.begin() as connection:
            live = _FILE.path.in_(paths), _FILE.remove_at.is_(None)
            replaced = connection.execute(update(FEATURE_FILE).where(*live).values(remove_at=now + _GRACE))
            if replaced.rowcount == len(paths):
                whole = update(FEATURE_FILE).where(_FILE.path == path)
                connection.execute(whole.values(bytes=size, remove_at=None))
            else:  # some have expired in the meantime: this one is swept as if it had not been finished
                connection.rollback()


def _bounded(files: Sequence[File]) -> Iterator[Sequence[File]]:
    """Yield files together, two at least, as many as may become one."""
    some: list[File] = []
    size = 0
    for file in files:
        if some and (size + file.bytes > _MERGED_BYTES or len(some) == _MERGED_FILES):
            if len(some) > 1:
                yield some
            some, size = [], 0
        some.append(file)
        size += file.bytes
    if len(some) > 1:
        yield some
