"""Counts of several protected attributes together: every group, and every intersection, from one pass."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fairness.counts import GroupCounts, cells_of, check_lengths, from_cells, merge
from fairness.errors import UnknownAttributeError, UnusableGroupsError
from fairness.groups import INTERSECTION, MAXIMUM_GROUPS, UNKNOWN, Factors, encode, factorize, natural
from fairness.labels import Labels

ONE_PASS: Final = 2**16
"""Combinations of groups up to which all attributes are counted at once; beyond, each by itself is cheaper."""

_DENSE: Final = 2**21
_BLOCK: Final = 2**16
_ADDRESSABLE: Final = 2**60


@dataclass(frozen=True, slots=True)
class CountTable:
    """The counts of every combination of groups that occurs; `counts` has one name per attribute as its key.

    Tables of disjoint rows, with the same attributes, add up. `ranked` are the names of each attribute in the order
    in which they are shown.
    """

    attributes: tuple[str, ...]
    ranked: tuple[tuple[str, ...], ...]
    counts: Mapping[tuple[str, ...], GroupCounts]

    def __add__(self, other: CountTable) -> CountTable:
        if self.attributes != other.attributes:
            raise UnknownAttributeError(intersection_name(other.attributes), self.attributes)
        ranked = tuple(
            mine if set(theirs) <= set(mine) else tuple(sorted({*mine, *theirs}, key=natural))
            for mine, theirs in zip(self.ranked, other.ranked, strict=True)
        )
        return CountTable(self.attributes, ranked, merge(self.counts, other.counts))

    def groups(self, *attributes: str) -> dict[str, GroupCounts]:
        """Return the counts by group of one attribute, or by group of several taken together ("1 × 6").

        A row that lacks one of the attributes is in the group "unknown" of their intersection.

        Raises:
            UnknownAttributeError: The table has no such attribute.
            UnusableGroupsError: More than `MAXIMUM_GROUPS` groups.
        """
        for attribute in attributes:
            if attribute not in self.attributes:
                raise UnknownAttributeError(attribute, self.attributes)
        places = [self.attributes.index(attribute) for attribute in attributes]
        rank = [{name: position for position, name in enumerate(self.ranked[place])} for place in places]
        found: dict[tuple[str, ...], GroupCounts] = {}
        nothing = GroupCounts()
        for key, counts in self.counts.items():
            part = tuple(key[place] for place in places)
            part = (UNKNOWN,) if UNKNOWN in part else part
            found[part] = found.get(part, nothing) + counts
        if len(found) > MAXIMUM_GROUPS:
            name = INTERSECTION.join(attributes)
            raise UnusableGroupsError(
                name, f"has {len(found)} groups (at most {MAXIMUM_GROUPS}); join some of them"
            )

        def shown(part: tuple[str, ...]) -> tuple[bool, list[int]]:
            if part == (UNKNOWN,):
                return True, []
            return False, [rank[position][name] for position, name in enumerate(part)]

        return {INTERSECTION.join(part): found[part] for part in sorted(found, key=shown)}


def intersection_name(attributes: Sequence[str]) -> str:
    """Return what several attributes taken together are called: `SEX × RAC1P`."""
    return INTERSECTION.join(attributes)


def count_table(
    columns: Mapping[str, Sequence[Any] | NDArray[Any]],
    y_true: Labels | None,
    y_pred: Labels,
    favourable: Any,
    *,
    edges: Mapping[str, Sequence[float]] | None = None,
) -> CountTable:
    """Return the counts of every combination of the attributes' groups that occurs.

    Missing outcomes and the favourable label are as in `count_groups`, groups and `edges` as in `groups.encode`.

    Raises:
        LengthMismatchError: The columns are not of one length.
        UnusableGroupsError: An attribute cannot be read as groups, or they have too many combinations.
    """
    factors = read_factors(columns, edges)
    for factor in factors.values():
        check_lengths(len(factor.codes), y_true, y_pred)
    return count_factors(factors, cells_of(y_true, y_pred, favourable))


def count_groups_of(
    columns: Mapping[str, Sequence[Any] | NDArray[Any]],
    y_true: Labels | None,
    y_pred: Labels,
    favourable: Any,
    *,
    edges: Mapping[str, Sequence[float]] | None = None,
    intersections: Sequence[Sequence[str]] = (),
    weights: NDArray[np.int64] | None = None,
) -> dict[str, dict[str, GroupCounts]]:
    """Return the counts by group of each attribute, and of the intersections asked for, by their names.

    All come from one pass over the rows where the attributes have few combinations together (`ONE_PASS`). With
    `weights` row i stands for that many people: rows that were counted already.

    Raises:
        LengthMismatchError: The columns are not of one length.
        UnknownAttributeError: An intersection or edges are of an attribute that is not among the columns.
        UnusableGroupsError: An attribute, or an intersection, cannot be read as groups.
    """
    factors = read_factors(columns, edges)
    for attribute in (name for together in intersections for name in together):
        if attribute not in factors:
            raise UnknownAttributeError(attribute, list(factors))
    for factor in factors.values():
        check_lengths(len(factor.codes), y_true, y_pred)
    cell = cells_of(y_true, y_pred, favourable)
    wanted = [(name,) for name in factors] + [tuple(dict.fromkeys(names)) for names in intersections if names]
    if combinations(factors) <= ONE_PASS:
        table = count_factors(factors, cell, weights)
        return {intersection_name(names): table.groups(*names) for names in wanted}
    return {
        intersection_name(names): count_factors({name: factors[name] for name in names}, cell, weights).groups(
            *names
        )
        for names in wanted
    }


def read_factors(
    columns: Mapping[str, Sequence[Any] | NDArray[Any]], edges: Mapping[str, Sequence[float]] | None = None
) -> dict[str, Factors]:
    """Return each attribute as codes, with at most `MAXIMUM_GROUPS` groups that occur."""
    wanted = edges or {}
    for attribute in wanted:
        if attribute not in columns:
            raise UnknownAttributeError(attribute, list(columns))
    factors = {name: factorize(name, values, wanted.get(name)) for name, values in columns.items()}
    for name, factor in factors.items():
        if len(factor.names) > MAXIMUM_GROUPS + 1:  # unused categories, or too many values: find out which
            groups = encode(name, columns[name], wanted.get(name))
            factors[name] = Factors(groups.codes, groups.names, factor.ordered)
    return factors


def combinations(factors: Mapping[str, Factors]) -> int:
    """Return how many combinations of groups there could be."""
    return math.prod(max(1, len(factor.names)) for factor in factors.values())


def count_factors(
    factors: Mapping[str, Factors], cell: NDArray[np.uint8], weights: NDArray[np.int64] | None = None
) -> CountTable:
    """Return the table of attributes that have been read, for rows in these cells (`counts.cells_of`).

    Row i counts `weights[i]` times, each once where they are left out.
    """
    product = combinations(factors)
    if product > _ADDRESSABLE:
        raise UnusableGroupsError(
            intersection_name(list(factors)), "have too many combinations; test fewer together"
        )
    cells = product * 6
    if cells <= _DENSE:
        table: NDArray[np.int64] = np.zeros((product, 6), dtype=np.int64)
        # Block by block, in memory that is still in the processor's cache; large arrays cost a page fault per 4 kB.
        step = max(_BLOCK, 4 * cells)
        for start in range(0, len(cell), step):
            block = slice(start, start + step)
            joint = _joint(factors, cell, block)
            times = None if weights is None else weights[block]
            table += np.bincount(joint, times, minlength=cells).astype(np.int64, copy=False).reshape(-1, 6)
        present = np.flatnonzero(table.any(axis=1))
        table = table[present]
    else:
        places, which = np.unique(_joint(factors, cell, slice(None)), return_inverse=True)
        rows = np.bincount(which, weights).astype(np.int64, copy=False)
        present, owner = np.unique(places // 6, return_inverse=True)
        table = np.zeros((len(present), 6), dtype=np.int64)
        table[owner, places % 6] = rows
    axes = np.unravel_index(present, [max(1, len(factor.names)) for factor in factors.values()])
    counts: dict[tuple[str, ...], GroupCounts] = {}
    nothing = GroupCounts()
    names = [factor.names for factor in factors.values()]
    for place, row in zip(zip(*(axis.tolist() for axis in axes), strict=True), table.tolist(), strict=True):
        key = tuple(names[axis][code] for axis, code in enumerate(place))
        counts[key] = counts.get(key, nothing) + from_cells(row)  # 1 and "1" are one group
    ranked = tuple(_ranked(factor, axis, counts) for axis, factor in enumerate(factors.values()))
    return CountTable(tuple(factors), ranked, counts)


def _joint(factors: Mapping[str, Factors], cell: NDArray[np.uint8], rows: slice) -> NDArray[Any]:
    """Return, of some rows, one number for groups and cell together, in the smallest type that holds them all."""
    largest = combinations(factors) * 6
    kind: Any = next(kind for kind in (np.uint16, np.int32, np.int64) if largest <= np.iinfo(kind).max)
    joint: NDArray[Any] = np.zeros(len(cell[rows]), dtype=kind)
    for factor in factors.values():
        joint *= kind(max(1, len(factor.names)))
        joint += factor.codes[rows].astype(kind)
    joint *= kind(6)
    joint += cell[rows]
    return joint


def _ranked(factor: Factors, axis: int, counts: Mapping[tuple[str, ...], GroupCounts]) -> tuple[str, ...]:
    if factor.ordered:  # all of them, so that windows with different ranges filled still agree on the order
        return factor.names
    return tuple(sorted({key[axis] for key in counts}, key=natural))
