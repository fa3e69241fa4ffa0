"""The models a worker serves right now, and which variant answers which unit."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from bentos.errors import AmbiguousModelError, ModelNotServedError, NotReadyError
from inference.row_queue import RowQueue
from rollout.assignment import (
    CHALLENGERS,
    Cohort,
    Layout,
    canary_layout,
    digest_of,
    edges_of,
    hash_prefix,
    place_of,
    soak_layout,
    threshold,
)

CHAMPION, CHALLENGER = "champion", "challenger"


@dataclass(frozen=True, slots=True)
class Variant:
    """A loaded version in a role; `name` is None where a version was asked for by number."""

    name: str | None
    version: str
    batcher: RowQueue
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Served:
    """One model: its loaded variants and the split between them. Replaced as a whole, never changed.

    `epoch`, `salt`, `weight_bp`, `holdback_bp`, `shadow_bp`, `on_missing_key` and `rollout_id` are those of the
    serving state it was made from; `others` are the challengers after the first, and `others_bp` their weights.
    `is_suspended` says that the champion serves alone because nobody knows whether the state still holds.
    """

    model: str
    epoch: int
    champion: Variant
    challenger: Variant | None = None
    weight_bp: int = 0
    salt: str = ""
    rollout_id: str | None = None
    others: tuple[Variant, ...] = ()
    others_bp: tuple[int, ...] = ()
    holdback_bp: int | None = None
    shadow_bp: int = 0
    on_missing_key: Literal["champion", "request"] = "champion"
    is_suspended: bool = False
    splits: bool = field(init=False)
    """Whether any unit is assigned to a challenger."""
    splits_rows: bool = field(init=False)
    """Whether rows without a unit are assigned too, each by its prediction id."""
    shadows: bool = field(init=False)
    """Whether the challenger scores any of the champion's rows beside it."""
    _layout: Layout = field(init=False)
    _prefix: bytes = field(init=False)
    _shadow_prefix: bytes = field(init=False)
    _shadow_width: int = field(init=False)
    _edges: Sequence[bytes] = field(init=False)
    _between: Sequence[tuple[Variant, Cohort]] = field(init=False)
    """What units below the first edge, and from each edge on, are given."""

    def __post_init__(self) -> None:
        is_split = self.challenger is not None and not self.is_suspended
        challengers = () if self.challenger is None else (self.challenger, *self.others)
        layout = self._spans() if is_split else ()
        edges, cohorts = edges_of(layout)
        by_cohort = _by_cohort(challengers)
        values = {
            "splits": bool(layout),
            "splits_rows": bool(layout) and self.on_missing_key == "request",
            "shadows": is_split and self.shadow_bp > 0,
            "_layout": layout,
            "_prefix": hash_prefix(self.salt),
            "_shadow_prefix": hash_prefix(self.salt, "shadow"),
            "_shadow_width": threshold(self.shadow_bp) if is_split else 0,
            "_edges": edges,
            "_between": [(by_cohort.get(cohort, self.champion), cohort) for cohort in cohorts],
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _spans(self) -> Layout:
        if self.holdback_bp is not None:
            return soak_layout(self.holdback_bp)
        return canary_layout((self.weight_bp, *self.others_bp))

    @property
    def weight(self) -> float:
        """The share of the units, 0 to 1, that the first challenger answers."""
        first = {Cohort.CHALLENGER, Cohort.CHALLENGER_ONLY}
        places = sum(span.end - span.begin for span in self._layout if span.cohort in first)
        return round(places / 2**64, 4)

    def variants(self) -> tuple[Variant, ...]:
        """Return the loaded variants, the champion first."""
        return (self.champion,) if self.challenger is None else (self.champion, self.challenger, *self.others)

    def assign(self, unit: str | None) -> tuple[Variant, Cohort | None]:
        """Return the variant that serves `unit`, and where the unit stands in the comparison.

        `unit` may be a prediction id that stands for one. Without a unit, or where nothing is split, the champion
        serves and there is no comparison.
        """
        if unit is None or not self.splits:
            return self.champion, None
        return self._between[bisect_right(self._edges, digest_of(self._prefix, unit))]

    def is_shadowed(self, unit: str) -> bool:
        """Return whether the challenger scores the rows of `unit` beside the champion."""
        return place_of(self._shadow_prefix, unit) < self._shadow_width

    def named(self, name: str) -> Variant:
        """Return the variant of that name.

        Raises:
            ModelNotServedError: There is none.
            NotReadyError: It is a challenger, and the champion serves alone.
        """
        for variant in self.variants():
            if variant.name == name:
                if self.is_suspended and variant is not self.champion:
                    raise NotReadyError("the champion serves alone: the serving state is not renewed")
                return variant
        raise ModelNotServedError(f"{self.model}@{name}")

    def only_champion(self) -> Served:
        """Return this model with all units served by the champion, and nothing scored beside it."""
        return replace(self, is_suspended=True)


def _by_cohort(challengers: Sequence[Variant]) -> dict[Cohort, Variant]:
    found = dict(zip(CHALLENGERS, challengers, strict=False))
    return found | {Cohort.CHALLENGER_ONLY: challengers[0]} if challengers else found


@dataclass(slots=True)  # not frozen: one is made for each request
class Target:
    """What a request asked for: a model, and perhaps one of its versions (`pinned`)."""

    served: Served
    pinned: Variant | None = None


def find(models: Mapping[str, Served], reference: str | None, version: str | None = None) -> Target:
    """Return what `reference` names: `model`, `model@alias`, `model/version`, or nothing where one is served.

    Raises:
        NotReadyError: No model is loaded yet.
        AmbiguousModelError: Nothing was named and several models are served.
        ModelNotServedError: The model, version or alias is not served here.
    """
    if reference is None:
        if not models:
            raise NotReadyError("no model is loaded yet; /readyz says why")
        if len(models) > 1:
            raise AmbiguousModelError(sorted(models))
        return Target(next(iter(models.values())))
    served = models.get(reference)
    if served is not None and version is None:
        return Target(served)
    name, at, alias = reference.partition("@")
    if at and version is not None:
        raise ModelNotServedError(f"{reference}/{version}")
    if version is None and not at:
        name, _, version = reference.partition("/")
    served = models.get(name)
    if served is None:
        if not models:
            raise NotReadyError("no model is loaded yet; /readyz says why")
        raise ModelNotServedError(reference)
    for variant in served.variants():
        if (variant.name == alias) if at else (variant.version == version):
            return Target(served, replace(variant, name=None))
    raise ModelNotServedError(reference if at or version is None else f"{name}/{version}")
