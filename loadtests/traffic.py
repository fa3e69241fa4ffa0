"""What a load test saw: which variant each unit was answered by, and the weight that the service states."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

CHALLENGER = "challenger"
_SAMPLE = re.compile(r"^(?P<name>\w+)\{(?P<labels>[^}]*)\} (?P<value>\S+)$", flags=re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(slots=True)
class Split:
    """The variant each unit was first answered by, and the units that were later answered by another."""

    variants: dict[str, str] = field(default_factory=dict)
    moved: set[str] = field(default_factory=set)

    def note(self, units: Iterable[str], variants: Iterable[str]) -> bool:
        """Note answers; return whether every unit is still where it was first seen."""
        held = True
        for unit, variant in zip(units, variants, strict=True):
            if self.variants.setdefault(unit, variant) != variant:
                self.moved.add(unit)
                held = False
        return held

    def at_challenger(self) -> int:
        """Return how many units were answered by the challenger."""
        return sum(variant == CHALLENGER for variant in self.variants.values())


def challenger_weight(exposition: str, model: str) -> float | None:
    """Return the challenger's share of units that `/metrics` states for a model, None when it states none.

    >>> text = 'fairmind_traffic_weight_ratio{model="m",variant="challenger"} 0.25'
    >>> challenger_weight(text, "m")
    0.25
    >>> challenger_weight(text, "other") is None
    True
    """
    weights: dict[str, float] = {}
    for sample in _SAMPLE.finditer(exposition):
        labels = dict(_LABEL.findall(sample["labels"]))
        if sample["name"] == "fairmind_traffic_weight_ratio" and labels.get("model") == model:
            weights[labels["variant"]] = float(sample["value"])
    if not weights:
        return None
    return weights.get(CHALLENGER, 0.0)
