"""Which variant is given which rows of a request, and where the rows stand in a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from bentos.served import Target, Variant
from rollout.assignment import Cohort

if TYPE_CHECKING:
    from bentos.dataplane import Request

Value = TypeVar("Value")

Groups = list[tuple[Variant, Sequence[int] | None]]
"""Variants with the positions of the rows they are given; None: all."""

Assigned = tuple[Groups, Sequence[Cohort | None] | None]
"""The groups, and the rows' cohorts where any are."""


def assign_rows(target: Target, request: Request) -> Assigned:
    """Return each variant with the positions of its rows, and the rows' cohorts where the model is split."""
    if target.pinned is not None:
        return [(target.pinned, None)], None
    served, units = target.served, request.units
    if served.splits_rows:
        units = _units_or_ids(request)
    if units is None or not served.splits:
        return [(served.champion, None)], None
    if are_one(units):
        variant, one = served.assign(units[0])
        return [(variant, None)], [one] * request.rows
    assigned = {unit: served.assign(unit) for unit in set(units)}
    cohorts = [assigned[unit][1] for unit in units]
    variants = [assigned[unit][0] for unit in units]
    if variants.count(variants[0]) == len(variants):
        return [(variants[0], None)], cohorts
    positions: dict[str | None, list[int]] = {}
    by_name = {variant.name: variant for variant in variants}
    for position, variant in enumerate(variants):
        positions.setdefault(variant.name, []).append(position)
    return [(by_name[name], found) for name, found in positions.items()], cohorts


def _units_or_ids(request: Request) -> Sequence[str | None]:
    """Return what each row is assigned by: its unit, or where it has none its prediction id."""
    if request.units is None:
        return [f"{request.id}-{position}" for position in range(request.rows)]
    if None not in request.units:
        return request.units
    return [f"{request.id}-{position}" if unit is None else unit for position, unit in enumerate(request.units)]


def are_one(units: Sequence[str | None]) -> bool:
    """Return whether all rows are one unit's, as those of a tensor request are."""
    return len(units) == 1 or (units[0] == units[-1] and units.count(units[0]) == len(units))


def take(values: Sequence[Value] | None, positions: Sequence[int], rows: int) -> Sequence[Value] | None:
    """Return the values of the rows at some positions of a request of `rows` rows; None where there are none."""
    if values is None or len(positions) == rows:  # most requests are one row, or one variant's
        return values
    return [values[position] for position in positions]
