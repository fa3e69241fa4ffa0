"""The traffic a plan would meet, read from the prediction log of the last day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, Engine, func, select

from database.engine import reading
from fairness.groups import UNKNOWN
from monitoring.tables import EXPOSURE, PREDICTION
from monitoring.window_cells import NUMBER, OTHER
from monitoring.windows import WindowCounts, label_value, read_counts
from rollout.guardrail import Guardrail, Metric, Stage
from rollout.observations import OK, Observed, group_of, observation
from rollout.plan import Plan
from rollout.streams import Stream, is_quantity
from rollout.traffic import ASSUMED_UNITS_PER_DAY, Traffic, assumed_groups, assumed_streams, told_of
from rollout.unit_share import unit_share

DAY: Final = timedelta(days=1)
_SHORTEST: Final = timedelta(minutes=1)
_ENOUGH: Final = 100
"""Observations a group needs for its rate to be taken for what it is."""
_LATENCIES: Final = 20_000
_CHAMPION: Final = "champion"


@dataclass(frozen=True, slots=True)
class _Day:
    """What was logged of a model within a day, and of the day whose outcomes are due."""

    counts: WindowCounts
    due: WindowCounts
    latencies_ms: np.ndarray[Any, np.dtype[np.float64]]
    failed: float | None


def measure_traffic(engine: Engine, plan: Plan, now: datetime, *, units_per_day: float | None = None) -> Traffic:
    """Return the traffic of the day before `now` as a plan would meet it.

    Rates are the champion's. Those of outcomes are of the day that ended a `label_maturity` ago, of today's rows
    where that one is empty. What was not logged often enough is assumed, and said. Units in bulk records are in the
    share of rows that carry one; how many distinct ones there are is counted of all other rows. `units_per_day`
    takes the place of what was counted. Where the log began less than a day ago, a day is taken to bring as many as
    the time since.
    """
    since = now - DAY
    shared = unit_share(engine, plan.model, since, now)
    with reading(engine) as connection:
        day = _read(connection, plan, since, now)
        distinct = _distinct_units(connection, plan.model, since, now)
        daily = DAY / max(now - max(_first(connection, plan.model, since), since), _SHORTEST)
    share = shared.with_unit / shared.rows if shared.rows else None
    assumed: list[str] = []
    units = daily * (distinct if plan.unit == "unit" else shared.rows - shared.with_unit)
    if units_per_day is not None:
        units = units_per_day
    elif share is None:
        units = ASSUMED_UNITS_PER_DAY
        assumed.append(f"{units:,.0f} units a day, since nothing was served in the last one")
    labels = _label_share(day.due)
    if labels is None and any(one.counted is Stage.LABELLED for one in plan.watched):
        assumed.append("an outcome for every unit, once it is due")
    streams, guessed = {}, []
    for guardrail in plan.watched:
        found = _streams(guardrail, day, 1.0 if labels is None else labels)
        if found is None:
            found = assumed_streams(guardrail)
            assumed.append(told_of(guardrail))
            guessed.append(guardrail.name)
        streams[guardrail.name] = found
    return Traffic(
        rows_per_day=daily * shared.rows,
        units_per_day=units,
        is_known=units_per_day is not None or share is not None,
        unit_share=share,
        label_share=1.0 if labels is None else labels,
        groups={name: _groups(plan, day.counts, name) for name in plan.attributes},
        streams=streams,
        assumed=tuple(assumed),
        guessed=frozenset(guessed),
    )


def _read(connection: Connection, plan: Plan, since: datetime, until: datetime) -> _Day:
    def counts(start: datetime, end: datetime) -> WindowCounts:
        return read_counts(connection, plan.model, start, end, variant=_CHAMPION)

    today = counts(since, until)
    due = counts(since - plan.label_maturity, until - plan.label_maturity)
    columns = PREDICTION.c
    latest = (
        select(columns.latency_us)
        .where(columns.model == plan.model, columns.served_at >= since, columns.served_at < until)
        .where(columns.variant == _CHAMPION)
        .order_by(columns.served_at.desc())
        .limit(_LATENCIES)
    )
    latencies = np.array(connection.execute(latest).scalars().all(), dtype=np.float64) / 1_000
    return _Day(today, due if due.rows else today, latencies, _failed(connection, plan.model, since, until))


def _failed(connection: Connection, model: str, since: datetime, until: datetime) -> float | None:
    """Return the share of the champion's exposures that failed; only rows of compared units are exposed."""
    columns = EXPOSURE.c
    statement = (
        select(columns.status, func.count())
        .where(columns.model == model, columns.served_at >= since, columns.served_at < until)
        .where(columns.variant == _CHAMPION, columns.status.is_not(None))
        .group_by(columns.status)
    )
    found = {status: int(count) for status, count in connection.execute(statement)}
    whole = sum(found.values())
    return 1 - found.get("ok", 0) / whole if whole >= _ENOUGH else None


def _distinct_units(connection: Connection, model: str, since: datetime, until: datetime) -> int:
    columns = PREDICTION.c
    statement = (
        select(func.count(columns.unit_hash.distinct()))
        .where(columns.model == model, columns.served_at >= since, columns.served_at < until)
        .where(columns.unit_hash.is_not(None))
    )
    return int(connection.execute(statement).scalar_one())


def _first(connection: Connection, model: str, since: datetime) -> datetime:
    """Return when the log's first row of a model was served; `since` where there is one before, or none at all."""
    columns = PREDICTION.c
    mine = select(columns.served_at).where(columns.model == model)
    first = connection.execute(mine.order_by(columns.served_at).limit(1)).scalar()
    return since if first is None else first


def _label_share(due: WindowCounts) -> float | None:
    known = sum(amount.n for alike, amount in due.counts.items() if alike.has_outcome)
    return known / due.rows if known else None


def _groups(plan: Plan, counts: WindowCounts, attribute: str) -> Mapping[str, float]:
    """Return the shares of all rows that are of a group."""
    found: defaultdict[str, int] = defaultdict(int)
    for alike, amount in counts.counts.items():
        group = alike.attributes.get(attribute)
        if group is not None:
            found[group] += amount.n
    return {group: n / counts.rows for group, n in sorted(found.items())} or assumed_groups(plan, attribute)


def _streams(guardrail: Guardrail, day: _Day, labels: float) -> tuple[Stream, ...] | None:
    """Return what was measured; None where it was not, or too seldom to be believed."""
    metric = guardrail.metric
    if is_quantity(metric) and metric is not Metric.LATENCY_LOGMEAN:
        return None  # of these the windows keep no squares
    if metric is Metric.ERROR_RATE:
        return None if day.failed is None else (Stream("", "", 1.0, day.failed),)
    if metric in {Metric.LATENCY_SLO, Metric.LATENCY_LOGMEAN}:
        return _latency(guardrail, day)
    labelled = metric.needs_outcome
    sums = _sums(guardrail, day.due if labelled else day.counts)
    whole = sum(n for n, _ in sums.values())
    if whole < _ENOUGH:
        return None
    counts = day.due if labelled else day.counts
    rows = sum(amount.n for alike, amount in counts.counts.items() if alike.has_outcome or not labelled)
    share = labels if guardrail.counted is Stage.LABELLED else 1.0
    return tuple(
        Stream(part, group, share * n / rows, total / n) for (part, group), (n, total) in sorted(sums.items())
    )


def _latency(guardrail: Guardrail, day: _Day) -> tuple[Stream, ...] | None:
    found = day.latencies_ms
    if len(found) < _ENOUGH:
        return None
    if guardrail.slo_ms is not None:
        return (Stream("", "", 1.0, float(np.mean(found > guardrail.slo_ms))),)
    logs = np.log(np.maximum(found, 1e-3) / 1_000)
    return (Stream("", "", 1.0, float(logs.mean()), float(logs.std())),)


def _sums(guardrail: Guardrail, counts: WindowCounts) -> dict[tuple[str, str], tuple[int, float]]:
    """Return, by part and group, how many observations there are and what they add up to."""
    found: defaultdict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0.0])
    for alike, amount in counts.counts.items():
        group = group_of(guardrail, alike.attributes)
        if group == UNKNOWN or (guardrail.groups is not None and group not in guardrail.groups):
            continue
        if {alike.prediction, alike.outcome} & {NUMBER, OTHER}:
            continue
        row = Observed(OK, label_value(alike.prediction), outcome=label_value(alike.outcome))
        seen = observation(guardrail, row)
        if seen is not None:
            found[seen.part, group][0] += amount.n
            found[seen.part, group][1] += amount.n * seen.value
    return {key: (int(n), total) for key, (n, total) in found.items() if n}
