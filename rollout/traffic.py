"""The traffic a plan would meet: how much of it, of whom, and how the champion fares with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from rollout.guardrail import Guardrail, Metric
from rollout.observations import OK, Observed, observation
from rollout.plan import Plan
from rollout.streams import Stream, is_quantity

ASSUMED_UNITS_PER_DAY: Final = 10_000.0
"""What a plan is looked at with where nothing was logged."""

_MEANS: Final = {
    Metric.ERROR_RATE: 0.005,
    Metric.LATENCY_SLO: 0.05,
    Metric.LATENCY_LOGMEAN: -4.6,
    Metric.SELECTION_RATE: 0.3,
    Metric.ACCURACY: 0.8,
    Metric.LOG_LOSS: 0.45,
    Metric.BRIER: 0.14,
    Metric.MEAN_OUTCOME: 0.5,
    Metric.DP_DIFF: 0.3,
    Metric.DP_RATIO: 0.3,
    Metric.GROUP_ACCURACY_MIN: 0.8,
}
_DEVIATIONS: Final = {
    Metric.LATENCY_LOGMEAN: 0.5,
    Metric.LOG_LOSS: 0.5,
    Metric.BRIER: 0.18,
    Metric.MEAN_OUTCOME: 0.5,
}
_FAVOURABLE: Final = 0.3
_FAVOURED: Final = {True: 0.7, False: 0.15}
"""How often who has the favourable outcome, and who has not, is selected."""
_GROUPS: Final = {"majority": 0.8, "minority": 0.2}


@dataclass(frozen=True, slots=True)
class Traffic:
    """A day of a model's traffic.

    `units_per_day` are those a plan analyses: units, or rows without one in a plan of requests; each day is taken
    to bring as many that were not there before. `is_known` says that somebody counted or told them. `unit_share` is
    the share of the rows that carry a unit, None where nobody looked. `label_share` is the share of the units whose
    outcome is there once it is due. `groups` are the shares of the units by protected attribute and group, without
    those whose attribute is not known. `streams` are what each guardrail and goal observes, by its name; their
    shares count what is missing as missing. Of a row that both models score they differ in `disagreement` of the
    yes-or-no answers.
    `assumed` says, in words, what was not measured; `guessed` names the guardrails whose streams were not.
    """

    rows_per_day: float
    units_per_day: float
    is_known: bool = False
    unit_share: float | None = None
    label_share: float = 1.0
    groups: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    streams: Mapping[str, tuple[Stream, ...]] = field(default_factory=dict)
    disagreement: float = 0.06
    assumed: tuple[str, ...] = ()
    guessed: frozenset[str] = frozenset()

    def attribute_share(self, attribute: str) -> float:
        """Return the share of the units whose group is known."""
        return sum(self.groups.get(attribute, {}).values())

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-able values."""
        return {
            "rows_per_day": self.rows_per_day,
            "units_per_day": self.units_per_day,
            "is_known": self.is_known,
            "unit_share": self.unit_share,
            "label_share": self.label_share,
            "groups": {name: dict(shares) for name, shares in self.groups.items()},
            "streams": {name: [one._asdict() for one in streams] for name, streams in self.streams.items()},
            "disagreement": self.disagreement,
            "assumed": list(self.assumed),
        }


def assumed_traffic(plan: Plan, units_per_day: float | None = None) -> Traffic:
    """Return the traffic a plan is looked at with where nothing was logged; it says so of all it is made of."""
    units = ASSUMED_UNITS_PER_DAY if units_per_day is None else units_per_day
    told = () if units_per_day is not None else (f"{units:,.0f} units a day",)
    return Traffic(
        rows_per_day=units,
        units_per_day=units,
        is_known=units_per_day is not None,
        groups={name: assumed_groups(plan, name) for name in plan.attributes},
        streams={one.name: assumed_streams(one) for one in plan.watched},
        assumed=(*told, *(told_of(one) for one in plan.watched)),
        guessed=frozenset(one.name for one in plan.watched),
    )


def assumed_streams(guardrail: Guardrail) -> tuple[Stream, ...]:
    """Return what a guardrail observes where nobody knows: usual rates, and two groups, one of them a minority."""
    metric = guardrail.metric
    groups = _groups(guardrail.groups) if metric.compares_groups else {"": 1.0}
    deviation = _DEVIATIONS[metric] if is_quantity(metric) else None
    if metric in _MEANS:
        return tuple(Stream("", group, share, _MEANS[metric], deviation) for group, share in groups.items())
    parts = {is_favourable: _part(guardrail, is_favourable=is_favourable) for is_favourable in (True, False)}
    shares = {True: _FAVOURABLE, False: 1 - _FAVOURABLE}
    return tuple(
        Stream(part, group, share * shares[is_favourable], _FAVOURED[is_favourable])
        for is_favourable, part in parts.items()
        if part is not None
        for group, share in groups.items()
    )


def assumed_groups(plan: Plan, attribute: str) -> Mapping[str, float]:
    """Return the shares of an attribute's groups where nobody knows: of those a guardrail names, equal ones."""
    return _groups(next((one.groups for one in plan.watched if one.attribute == attribute and one.groups), None))


def told_of(guardrail: Guardrail) -> str:
    """Return, in words, what is assumed of a guardrail's observations."""
    streams = assumed_streams(guardrail)
    means = ", ".join(f"{one.part} {one.mean:g}".strip() for one in streams if one.group == streams[0].group)
    groups = {one.group: one.share for one in streams if one.part == streams[0].part}
    if list(groups) == [""]:
        return f"{guardrail.name}: {means}"
    whole = sum(groups.values())
    return f"{guardrail.name}: {means}, groups " + ", ".join(
        f"{name} {share / whole:.0%}" for name, share in groups.items()
    )


def _groups(named: tuple[str, ...] | None) -> Mapping[str, float]:
    return _GROUPS if named is None else dict.fromkeys(named, 1 / len(named))


def _part(guardrail: Guardrail, *, is_favourable: bool) -> str | None:
    """Return the part in which those with the favourable outcome, or the others, are counted; None: in none."""
    other = "" if guardrail.positive != "" else "other"
    outcome = guardrail.positive if is_favourable else other
    seen = observation(guardrail, Observed(OK, guardrail.positive, outcome=outcome))
    return None if seen is None else seen.part
