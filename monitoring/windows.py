"""A window of live traffic as counts: what was predicted, for whom, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, Engine, func, select

from database.engine import reading
from monitoring.tables import WINDOW_CELL, WINDOW_COUNT
from monitoring.window_buckets import read_buckets, utc
from monitoring.window_cells import NO_GROUPS, NOT_KNOWN, NUMBER, OTHER, Amount


class Alike(NamedTuple):
    """What predictions that are counted together have in common; the texts are those of `window_cells.Cell`."""

    model_version: str
    variant: str
    groups: str
    prediction: str
    outcome: str

    @property
    def attributes(self) -> dict[str, str | None]:
        """The protected attributes; none where they are in `other`."""
        found: dict[str, str | None] = {} if self.groups == OTHER else orjson.loads(self.groups)
        return found

    @property
    def has_outcome(self) -> bool:
        """Whether it is known what came of them."""
        return self.outcome != NOT_KNOWN


@dataclass(frozen=True, slots=True)
class WindowCounts:
    """How many predictions of a model, served in [since, until), are alike.

    `since` and `until` are edges of buckets, and may lie outside what was asked for. Counts of windows that do not
    overlap, of the same model, add up to those of their union.
    """

    model: str
    since: datetime
    until: datetime
    counts: Mapping[Alike, Amount]

    @property
    def rows(self) -> int:
        """All predictions."""
        return sum(amount.n for amount in self.counts.values())

    @property
    def versions(self) -> list[str]:
        """The versions that answered, in the order of their numbers."""
        return sorted({alike.model_version for alike in self.counts}, key=lambda version: (len(version), version))

    @property
    def variants(self) -> list[str]:
        """The variants that answered."""
        return sorted({alike.variant for alike in self.counts})

    @property
    def rows_of_other_groups(self) -> int:
        """Predictions whose combination of groups is not told apart."""
        return sum(amount.n for alike, amount in self.counts.items() if alike.groups == OTHER)

    def of_variant(self, variant: str, version: str | None = None) -> WindowCounts:
        """Return what one variant answered, of one version where it is named."""
        mine = {
            alike: amount
            for alike, amount in self.counts.items()
            if alike.variant == variant and version in {None, alike.model_version}
        }
        return replace(self, counts=mine)

    def __add__(self, other: WindowCounts) -> WindowCounts:
        since, until = min(self.since, other.since), max(self.until, other.until)
        merged = _merged([*self.counts.items(), *other.counts.items()])
        return WindowCounts(self.model, since, until, merged)


def window_counts(
    engine: Engine,
    model: str,
    since: datetime,
    until: datetime,
    *,
    variant: str | None = None,
    model_version: str | None = None,
) -> WindowCounts:
    """Return the counts of one model's predictions served in [since, until), widened to whole buckets.

    What a variant answered is all there, rows without a unit too: a bias test measures everybody who got an answer.
    Rows asked for by version number have no variant and are in no analysis; a row with the caller's id of one that
    was served less than a day before is a repeat, and not counted.
    """
    with reading(engine) as connection:
        return read_counts(connection, model, since, until, variant=variant, model_version=model_version)


def read_counts(
    connection: Connection,
    model: str,
    since: datetime,
    until: datetime,
    *,
    variant: str | None = None,
    model_version: str | None = None,
) -> WindowCounts:
    """Return what `window_counts` does, within a transaction."""
    start, end = read_buckets(connection).rounded(since, until)
    columns, cells = WINDOW_COUNT.c, WINDOW_CELL.c
    mine = select(cells.id, *(cells[name] for name in Alike._fields)).where(cells.model == model)
    if variant is not None:
        mine = mine.where(cells.variant == variant)
    if model_version is not None:
        mine = mine.where(cells.model_version == model_version)
    kinds = {id_: Alike(*kind) for id_, *kind in connection.execute(mine)}
    sums = [func.sum(columns[name]) for name in Amount._fields]
    statement = (
        select(columns.cell, *sums)
        .where(columns.cell.in_(mine.with_only_columns(cells.id)))
        .where(columns.bucket_start >= start, columns.bucket_start < end)
        .group_by(columns.cell)
    )
    found = connection.execute(statement)
    counts = [(kinds[cell], Amount(int(n), total, squares)) for cell, n, total, squares in found]
    return WindowCounts(model, utc(start), utc(end), _merged(counts))


def label_value(label: str) -> Any:
    """Return a label as it was predicted; None where none is known.

    Raises:
        ValueError: It is a quantity, or one of those that are not told apart (`window_cells`).
    """
    if label == NOT_KNOWN:
        return None
    if label in {NUMBER, OTHER}:
        raise ValueError("no label")
    return orjson.loads(label)


def attributes_told(counts: WindowCounts) -> list[str]:
    """Return the names of all protected attributes that any prediction has."""
    texts = {alike.groups for alike in counts.counts} - {OTHER, NO_GROUPS}
    return sorted({name for text in texts for name in orjson.loads(text)})


def _merged(counts: Iterable[tuple[Alike, Amount]]) -> dict[Alike, Amount]:
    """Return amounts added up by what they have in common; what is left of what went elsewhere is nothing."""
    found: dict[Alike, Amount] = {}
    for alike, amount in counts:
        before = found.get(alike)
        found[alike] = amount if before is None else before.plus(amount)
    return {alike: found[alike] for alike in sorted(found) if found[alike].n}
