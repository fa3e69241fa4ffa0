"""The rows that a prediction is compared with: logged ones of its version, or such as its profile describes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from itertools import accumulate
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Engine

from database.engine import reading
from explanation.coded_rows import Row
from explanation.errors import NotExplainableError
from explanation.policy import ExplanationPolicy
from inference.columns import columns_from_rows
from inference.errors import SignatureMismatchError
from inference.signature import Column, ColumnType, Signature
from monitoring.feature_store import FeatureStore, feature_files
from monitoring.feature_table import ID, SERVED_AT, unified
from monitoring.logged_features import feature_rows
from monitoring.profile import CategoryProfile, ColumnProfile, NumberProfile, ReferenceProfile

_WINDOW: Final = timedelta(days=30)
_LOOKED_AT: Final = 50_000


@dataclass(frozen=True, slots=True)
class Background:
    """Rows with every column of a signature, and where they are from."""

    source: Literal["logged", "profile"]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Explainable:
    """A version as far as its background is asked for; `profile` is None where it was registered without one."""

    model: str
    number: str
    signature: Signature
    profile: ReferenceProfile | None


def choose_background(
    engine: Engine, store: FeatureStore, version: Explainable, *, until: datetime, policy: ExplanationPolicy
) -> Background:
    """Return logged rows where there are enough before `until`, else rows like the profile, else what is logged.

    Raises:
        NotExplainableError: There are neither.
        OSError: The feature store cannot be reached.
    """
    logged = logged_background(engine, store, version, until=until, policy=policy)
    if version.profile is not None and len(logged.rows) < policy.background_rows:
        described = profile_background(version.profile, version.signature, policy)
        logged = described if described.rows else logged
    if not logged.rows:
        raise NotExplainableError(
            f"there is nothing to compare the row with: {version.model}/{version.number} has no reference profile, "
            "and answered nothing before it whose features are kept"
        )
    return logged


def logged_background(
    engine: Engine, store: FeatureStore, version: Explainable, *, until: datetime, policy: ExplanationPolicy
) -> Background:
    """Return rows that a version answered in the 30 days before `until`, as many as the policy says or there are.

    The seed and the ids choose among the last ten thousands, so that the same ones are chosen again.

    Raises:
        OSError: The feature store cannot be reached.
    """
    since, count, seed = until - _WINDOW, policy.background_rows, policy.seed
    with reading(engine) as connection:
        paths = feature_files(connection, version.model, since=since, until=until, version=version.number)
    found: list[pa.Table] = []
    looked_at = 0
    for path in reversed(paths):
        table = store.read(path, filters=(pc.field(SERVED_AT) >= since) & (pc.field(SERVED_AT) < until))
        found.append(_drawn(table, count, seed))
        looked_at += table.num_rows
        if looked_at >= _LOOKED_AT:
            break
    chosen = feature_rows(_drawn(unified(found), count, seed)) if looked_at else ()
    rows = (_completed(row, version.signature) for row in chosen)
    return Background("logged", tuple(row for row in rows if _fits(row, version.signature)))


def profile_background(profile: ReferenceProfile, signature: Signature, policy: ExplanationPolicy) -> Background:
    """Return rows in which each column is drawn by itself as the profile has it; a column it lacks is missing."""
    draws, count = np.random.default_rng(policy.seed), policy.background_rows
    columns = {
        column.name: _draw(column, profile.features.get(column.name), draws, count) for column in signature.columns
    }
    rows = tuple(dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
    return Background("profile", tuple(row for row in rows if _fits(row, signature)))


def _drawn(table: pa.Table, count: int, seed: int) -> pa.Table:
    """Return as many rows of a table, those whose ids come first in an order that the seed makes."""
    key = seed.to_bytes(4, "big")
    ids = table.column(ID).to_pylist()
    order = sorted(range(len(ids)), key=lambda place: blake2b(ids[place].encode(), digest_size=8, key=key).digest())
    return table.take(order[:count])


def _completed(row: Row, signature: Signature) -> Row:
    return {column.name: row.get(column.name) for column in signature.columns}


def _fits(row: Row, signature: Signature) -> bool:
    try:
        columns_from_rows([dict(row)], signature)
    except SignatureMismatchError:  # not all of its features are kept, or it is older than what is refused now
        return False
    return True


def _draw(column: Column, profile: ColumnProfile | None, draws: np.random.Generator, count: int) -> list[Any]:
    if profile is None:
        return [None] * count
    # The last cell of categories is those that have no name: nothing can be drawn for them.
    known = profile.counts if isinstance(profile, NumberProfile) else profile.counts[:-1]
    ends = list(accumulate((*known, profile.missing)))
    if not ends[-1]:
        return [None] * count
    cells = [bisect_right(ends, place) for place in draws.integers(0, ends[-1], count).tolist()]
    return [None if cell == len(known) else _in_cell(column, profile, cell, draws) for cell in cells]


def _in_cell(column: Column, profile: ColumnProfile, cell: int, draws: np.random.Generator) -> Any:
    if isinstance(profile, CategoryProfile):
        name = profile.categories[cell]
        return name == "true" if column.type is ColumnType.BOOLEAN else name
    if profile.values is not None:
        value = profile.values[cell]
    else:
        edges: Sequence[float] = (profile.minimum, *profile.edges, profile.maximum)
        value = float(draws.uniform(edges[cell], max(edges[cell], edges[cell + 1])))
    return round(value) if column.type is ColumnType.LONG else value
