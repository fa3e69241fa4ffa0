"""The models a worker serves right now, and which variant answers which unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bentos.errors import AmbiguousModelError, ModelNotServedError, NotReadyError
from inference.batching import Batcher
from rollout.assignment import Cohort, cohort, hash_unit, threshold

CHAMPION, CHALLENGER = "champion", "challenger"


@dataclass(frozen=True, slots=True)
class Variant:
    """A loaded version in a role; `name` is None where a version was asked for by number."""

    name: str | None
    version: str
    batcher: Batcher
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Served:
    """One model: its loaded variants and the split between them. Replaced as a whole, never changed.

    `epoch`, `salt`, `weight_bp` and `rollout_id` are those of the serving state it was made from.
    """

    model: str
    epoch: int
    champion: Variant
    challenger: Variant | None = None
    weight_bp: int = 0
    salt: str = ""
    rollout_id: str | None = None
    _width: int = field(init=False)

    def __post_init__(self) -> None:
        width = threshold(self.weight_bp) if self.challenger is not None else 0
        object.__setattr__(self, "_width", width)

    @property
    def splits(self) -> bool:
        """Whether any unit is assigned to the challenger."""
        return self._width > 0

    def variants(self) -> tuple[Variant, ...]:
        """Return the loaded variants, the champion first."""
        return (self.champion,) if self.challenger is None else (self.champion, self.challenger)

    def assign(self, unit: str | None) -> tuple[Variant, Cohort | None]:
        """Return the variant that serves `unit`, and where the unit stands in the comparison.

        Without a unit, or where nothing is split, the champion serves and there is no comparison.
        """
        if unit is None or self.challenger is None or not self._width:
            return self.champion, None
        assigned = cohort(hash_unit(self.salt, unit), self.weight_bp)
        return (self.challenger if assigned is Cohort.CHALLENGER else self.champion), assigned

    def only_champion(self) -> Served:
        """Return this model with all units served by the champion."""
        return replace(self, weight_bp=0)


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
