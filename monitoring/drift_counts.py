"""Counts of live traffic over the cells of each version's profile, per hour: kept as features are archived."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection, Engine, bindparam, select

from database.engine import insert_or_ignore, reading
from monitoring.cells import Column, category_profile, column_profile
from monitoring.counted_window import PREDICTION, SCORE, SERVED_AT, VARIANT, CountedWindow, count_table
from monitoring.drift_statistics import Counts
from monitoring.drift_tables import DRIFT_COUNT, DRIFT_PROFILE, packed, unpacked
from monitoring.number_cells import floats
from monitoring.profile import NumberProfile, ReferenceProfile, ScoreProfile

ROWS, FEATURE, ANSWER, SCORES = "rows", "feature", "prediction", "score"
_OWN: Final = "fairmind."
_HOUR_US: Final = 3_600_000_000
_PROFILES: Final = 256

FindProfile = Callable[[str, str], ReferenceProfile | None]
"""Returns the profile that a version, by model and number, was registered with; None where it came without one."""
Key = tuple[str, str, str, datetime, str, str]


class DriftCounts:
    """Counts each archived row once, in the transaction that archives it.

    A version without a profile is counted over the cells of one that is made of its first archived rows: one window
    can then be compared with another.
    """

    def __init__(self, find: FindProfile) -> None:
        self._find = find

    def archived(self, connection: Connection, model: str, model_version: str, table: pa.Table) -> None:
        """Add the rows of a newly archived table to the counts of their hours and variants."""
        if not table.num_rows:
            return
        profile = self._profile(connection, model, model_version, table)
        added: dict[Key, Counts] = {}
        for variant, hour, part in _slices(table):
            for (kind, feature), counts in _vectors(count_table(profile, part)):
                added[model, model_version, variant, hour, kind, feature] = counts
        _add(connection, added)

    def _profile(self, connection: Connection, model: str, version: str, table: pa.Table) -> ReferenceProfile:
        # Read each time: a profile that was made in a transaction that failed is gone with it.
        profile = read_profile(connection, model, version)
        if profile is not None:
            return profile
        made = self._find(model, version) or live_profile(table)
        row = {"model": model, "model_version": version, "profile": made.model_dump_json()}
        connection.execute(insert_or_ignore(connection.engine, DRIFT_PROFILE), row)
        return read_profile(connection, model, version) or made


def live_profile(table: pa.Table) -> ReferenceProfile:
    """Return cells to count a version by that came without a profile, from rows it answered."""
    names = [name for name in table.column_names if not name.startswith(_OWN)]
    found = set(table.column_names)
    prediction = score = None
    if PREDICTION in found:
        answers = table.column(PREDICTION)
        is_number = pa.types.is_floating(answers.type)
        prediction = column_profile(answers) if is_number else category_profile(answers)
    if SCORE in found and not isinstance(prediction, NumberProfile) and _is_probability(table.column(SCORE)):
        score = ScoreProfile(counts=({}, {}))
    return ReferenceProfile(
        source="live",
        feature_rows=table.num_rows,
        scored_rows=table.num_rows,
        features={name: column_profile(table.column(name)) for name in names},
        prediction=prediction,
        score=score,
    )


def read_profile(connection: Connection, model: str, version: str) -> ReferenceProfile | None:
    """Return the profile over whose cells a version is counted; None where nothing has been counted."""
    columns = DRIFT_PROFILE.c
    statement = select(columns.profile).where(columns.model == model, columns.model_version == version)
    found = connection.execute(statement).scalar_one_or_none()
    return None if found is None else _parsed(found)


def read_window(
    engine: Engine,
    model: str,
    version: str,
    *,
    since: datetime,
    until: datetime,
    variant: str | None = None,
) -> tuple[ReferenceProfile, CountedWindow] | None:
    """Return the profile of a version and the counts of the hours that begin in [since, until); None without any.

    Rows of all variants are added up, those that were asked for by version among them, unless one is named.
    """
    columns = DRIFT_COUNT.c
    statement = select(columns.part, columns.feature, columns.counts).where(
        columns.model == model, columns.model_version == version, columns.hour >= since, columns.hour < until
    )
    if variant is not None:
        statement = statement.where(columns.variant == variant)
    with reading(engine) as connection:
        profile = read_profile(connection, model, version)
        if profile is None:
            return None
        added: defaultdict[tuple[str, str], Counts] = defaultdict(lambda: np.zeros(1, dtype=np.int64))
        for part, feature, content in connection.execute(statement):
            added[part, feature] = added[part, feature] + unpacked(content)
    scores = added.get((SCORES, ""))
    window = CountedWindow(
        int(added[ROWS, ""][0]),
        {feature: counts for (part, feature), counts in added.items() if part == FEATURE},
        added.get((ANSWER, "")),
        None if scores is None else scores.reshape(2, -1),
    )
    return profile, window


def _vectors(window: CountedWindow) -> Iterator[tuple[tuple[str, str], Counts]]:
    yield (ROWS, ""), np.array([window.rows], dtype=np.int64)
    for name, counts in window.features.items():
        yield (FEATURE, name), counts
    if window.prediction is not None:
        yield (ANSWER, ""), window.prediction
    if window.scores is not None:
        yield (SCORES, ""), window.scores.ravel()


def _slices(table: pa.Table) -> Iterator[tuple[str, datetime, pa.Table]]:
    """Yield the rows of each variant and hour; nearly always there is one of both."""
    served = table.column(SERVED_AT).cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()
    hours, hour_of = np.unique(served // _HOUR_US, return_inverse=True)
    roles = table.column(VARIANT).cast(pa.string()).fill_null("").to_numpy()
    variants, variant_of = np.unique(roles.astype(str), return_inverse=True)
    cell = hour_of * len(variants) + variant_of
    for place in np.unique(cell):
        hour = datetime.fromtimestamp(int(hours[place // len(variants)]) * 3_600, UTC)
        rows = cell == place
        part = table if rows.all() else table.filter(pa.array(rows))
        yield str(variants[place % len(variants)]), hour, part


def _add(connection: Connection, added: dict[Key, Counts]) -> None:
    """Add counts to those that are there; rows are locked in the order of their keys: writers wait in turn."""
    columns = DRIFT_COUNT.primary_key.columns
    names = [column.name for column in columns]
    nothing = packed(np.zeros(1, dtype=np.int64))
    connection.execute(
        insert_or_ignore(connection.engine, DRIFT_COUNT),
        [{**dict(zip(names, key, strict=True)), "counts": nothing} for key in sorted(added)],
    )
    model, version = next(iter(added))[:2]
    statement = (
        select(DRIFT_COUNT)
        .where(DRIFT_COUNT.c.model == model, DRIFT_COUNT.c.model_version == version)
        .where(DRIFT_COUNT.c.hour.in_({key[3] for key in added}))
        .order_by(*columns)
        .with_for_update()
    )
    changed = []
    for *key, content in connection.execute(statement).all():
        more = added.get(tuple(key))
        if more is not None:
            values = {f"of_{name}": value for name, value in zip(names, key, strict=True)}
            changed.append({**values, "counts": packed(unpacked(content) + more)})
    is_it = [column == bindparam(f"of_{column.name}") for column in columns]
    connection.execute(DRIFT_COUNT.update().where(*is_it), changed)


@lru_cache(maxsize=_PROFILES)
def _parsed(profile: str) -> ReferenceProfile:
    return ReferenceProfile.model_validate_json(profile)


def _is_probability(column: Column) -> bool:
    values = np.concatenate([floats(chunk) for chunk in column.chunks] or [np.empty(0)])
    known = values[~np.isnan(values)]
    return bool(len(known)) and bool(((known >= 0.0) & (known <= 1.0)).all())
