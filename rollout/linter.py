"""What is wrong with a plan before it runs: guardrails that cannot pass, steps that end too soon, missing units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Final, Literal

from rollout.guardrail import Guardrail, Metric, Verdict
from rollout.plan import Plan
from rollout.power_preview import Power, bearable, powers
from rollout.simulated_units import weights
from rollout.streams import Stream, measured
from rollout.traffic import Traffic

Level = Literal["error", "warning", "info"]

_ORDER: Final = ("error", "warning", "info")
_LOW_UNIT_SHARE: Final = 0.5
_LENGTHEN: Final = (
    "give the steps before it a longer max_duration or more weight, widen its margin, or set `required: false` and "
    "let a person look"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know of a plan; `guardrail` is None where it is about the whole. Errors refuse the start."""

    level: Level
    code: str
    guardrail: str | None
    message: str

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-able values."""
        return asdict(self)


def lint(plan: Plan, traffic: Traffic) -> list[Finding]:
    """Return what there is to know of a plan before it runs, errors first.

    `underpowered_plan` and `small_group` are errors where the units were counted or told, warnings where both they
    and the rates are assumed: nothing is refused on a guess. A manual split is measured by nobody, so nothing is
    found but missing units.
    """
    found = list(_of_units(plan, traffic))
    if not plan.is_manual:
        found += _of_outcomes(plan)
        found += _of_attributes(plan, traffic)
        found += _of_steps(plan, traffic)
        found.append(_budget(plan, powered := powers(plan, traffic)))
        for guardrail, power in zip(plan.watched, powered, strict=True):
            found += _of_guardrail(plan, traffic, guardrail, power)
        found += [Finding("info", "assumed", None, f"not measured, assumed: {one}") for one in traffic.assumed]
    return sorted(found, key=lambda one: _ORDER.index(one.level))


def _of_units(plan: Plan, traffic: Traffic) -> Iterator[Finding]:
    share = traffic.unit_share
    if share is None or plan.missing_key == "request":
        return
    remedy = (
        "send X-Fairmind-Unit or the field `unit`, or let requests be split one by one: `on_missing_key: request`"
    )
    if plan.unit == "unit" and not plan.is_manual:
        remedy += " with `unit: request`"
    if share == 0:
        yield Finding(
            "error", "no_units", None, f"no row of the last day carries a unit, so nobody is split; {remedy}"
        )
    elif share < _LOW_UNIT_SHARE:
        yield Finding(
            "warning",
            "few_units",
            None,
            f"only {share:.1%} of the rows carry a unit; the champion serves the others, unanalysed; {remedy}",
        )


def _of_outcomes(plan: Plan) -> Iterator[Finding]:
    """Yield what outcomes that decisions make known cannot tell."""
    labelled = [one for one in plan.guardrails if one.metric.needs_outcome]
    if not plan.selective_labels or not labelled:
        return
    has_shadow = plan.steps[0].mode == "shadow"
    for one in labelled:
        if has_shadow:
            told = (
                "is judged on shadow traffic alone, by the outcomes of the champion's decisions: sound only where "
                "the outcome does not depend on the decision"
            )
        else:
            told = (
                "cannot be judged: with selective_labels the decision decides whose outcome is known. Add a shadow "
                "step, or watch what needs no outcome (selection_rate, dp_diff)"
            )
        yield Finding("warning" if has_shadow else "error", "selective_labels", one.name, f"{one.name} {told}")


def _of_attributes(plan: Plan, traffic: Traffic) -> Iterator[Finding]:
    wanted = plan.attribute_coverage_min
    for attribute in plan.attributes:
        share = traffic.attribute_share(attribute)
        if share < wanted and traffic.is_known:
            yield Finding(
                "error",
                "attribute_coverage",
                None,
                f"'{attribute}' is known of {share:.1%} of the rows and {wanted:.0%} are wanted: its guardrails "
                "would stay without data. Send it (`protected`, or POST /api/v1/attributes), or lower "
                "attribute_coverage_min",
            )
    if plan.has_labelled and traffic.label_share < plan.label_coverage_min:
        yield Finding(
            "error",
            "label_coverage",
            None,
            f"an outcome is known of {traffic.label_share:.1%} of the units when it is due, and "
            f"{plan.label_coverage_min:.0%} are wanted: send outcomes, lengthen label_maturity, or lower "
            "label_coverage_min",
        )


def _of_steps(plan: Plan, traffic: Traffic) -> Iterator[Finding]:
    for index, step in enumerate(plan.steps):
        shares = {arm: share for arm, share in weights(plan, step).items() if share > 0}
        if not shares:
            continue
        arm, share = min(shares.items(), key=lambda item: item[1])
        daily = traffic.units_per_day * share
        name = step.name or f"step {index + 1} ({step.mode})"
        until = timedelta(days=step.min_units / daily) if daily else None
        told = f"{name}: about {daily:,.0f} units a day in the smallest arm ({arm})"
        if until is None or until > step.longest:
            yield Finding(
                "error" if traffic.is_known else "warning",
                "step_too_short",
                None,
                f"{told}; min_units {step.min_units:,} take {span(until)}, and its max_duration is "
                f"{span(step.longest)}: lengthen it, give it more weight, or ask for fewer",
            )
        else:
            least, most = span(max(until, step.min_duration)), span(step.longest)
            yield Finding("info", "step", None, f"{told}; it lasts {least} at least and {most} at most")


def _budget(plan: Plan, powered: list[Power]) -> Finding:
    parts = ", ".join(f"{one.guardrail} {one.alpha:.3g}" for one in powered if one.guardrail in _judging(plan))
    return Finding(
        "info",
        "false_alarms",
        None,
        f"a version that harms nothing is rolled back in at most {plan.alpha_rollback:.1%} of rollouts: {parts}",
    )


def _of_guardrail(plan: Plan, traffic: Traffic, guardrail: Guardrail, power: Power) -> Iterator[Finding]:
    name = guardrail.name
    streams = traffic.streams.get(name, ())
    is_sure = traffic.is_known and not (name in traffic.guessed and guardrail.metric.compares_groups)
    needed = guardrail.required and name in _judging(plan)
    level: Level = "error" if is_sure and needed else "warning"
    if guardrail.compare == "absolute" and bearable(guardrail, streams) <= 0:
        yield Finding(
            level if name not in traffic.guessed else "warning",
            "limit_broken",
            name,
            f"{name}: the champion itself is at {measured(guardrail, streams):.4g}, beyond the limit "
            f"{guardrail.margin:g}: no version like it can pass. Compare with the control instead, or choose a "
            "limit that can be kept",
        )
        return
    if _is_near_in_shadow(plan, guardrail, streams):
        yield Finding(
            "warning",
            "shadow_errors",
            name,
            f"{name}: only rows that the champion answered are scored beside, so in shadow each error of the "
            f"challenger is harm: a version that fails as often as the champion ({streams[0].mean:.3g}) comes "
            f"near the margin {guardrail.margin:g}. Widen the margin, or leave the shadow step out",
        )
    step = plan.steps[power.of_step].name or f"step {power.of_step + 1}"
    if power.verdict in {Verdict.INSUFFICIENT_DATA, Verdict.NO_DATA}:
        yield Finding(
            level,
            "small_group" if guardrail.attribute else "underpowered_plan",
            name,
            f"{name} will have too little data by the end of {step}, with about {power.available:,} units in each "
            f"arm: {power.reason or 'nothing is counted'}. {_remedy(guardrail)}",
        )
    elif power.verdict is not Verdict.PASSED and needed:
        wanted = "more than there could be" if power.to_pass is None else f"about {power.to_pass:,}"
        yield Finding(
            level,
            "underpowered_plan",
            name,
            f"{name} cannot pass: a version like the champion needs {wanted} units in each arm, and at this "
            f"traffic there are {power.available:,} by the end of {step}. To mend it, {_LENGTHEN}",
        )
    if power.to_pass is not None:
        yield Finding("info", "power", name, f"{name}: {_told(power)}")


def _is_near_in_shadow(plan: Plan, guardrail: Guardrail, streams: Sequence[Stream]) -> bool:
    is_shadowed = guardrail.metric is Metric.ERROR_RATE and plan.steps[0].mode == "shadow"
    return is_shadowed and bool(streams) and streams[0].mean > guardrail.margin / 2


def _remedy(guardrail: Guardrail) -> str:
    if guardrail.attribute is None:
        return f"To mend it, {_LENGTHEN}"
    return (
        "Name the groups that are large enough in `groups`, pool small ones into one group before sending them, or "
        + (_LENGTHEN)
    )


def _told(power: Power) -> str:
    passing = f"a version like the champion passes with about {power.to_pass:,} units in each arm"
    if power.time_to_pass is not None:
        passing += f" ({span(power.time_to_pass)})"
    if power.to_catch is None:
        return f"{passing}; a harm of {power.harm:.3g} would not be caught for certain"
    caught = f"a harm of {power.harm:.3g} is caught with about {power.to_catch:,}"
    return f"{passing}; {caught}" + (f" ({span(power.time_to_catch)})" if power.time_to_catch is not None else "")


def _judging(plan: Plan) -> Mapping[str, Guardrail]:
    return {one.name: one for one in plan.guardrails}


def span(time: timedelta | None) -> str:
    """Return a length of time in one unit, rounded; of None that it never ends.

    >>> span(timedelta(hours=36)), span(timedelta(minutes=90)), span(None)
    ('36 h', '90 min', 'for ever')
    """
    if time is None:
        return "for ever"
    seconds = time.total_seconds()
    for size, name in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {name}"
    return f"{seconds:.3g} s"
