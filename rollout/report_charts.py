"""The pictures of a rollout's report as geometry: what is drawn where, for the template to write down as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from rollout.evaluations import StoredEvaluation
from rollout.guardrail import Verdict
from rollout.history import Event
from rollout.judging import Judgement

WIDTH: Final = 760
HEIGHT: Final = 190
_MOST_POINTS: Final = 240
_TICKS: Final = 5
_SHOWN: Final = 0.8
_MOST_OF_MARGIN: Final = 3
"""How far a picture reaches, in margins (or in what was found at last): wider intervals are cut off."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis, in pixels from the left or the top."""

    at: float
    told: str


@dataclass(frozen=True, slots=True)
class Dot:
    """A verdict that began to hold."""

    x: float
    y: float
    verdict: str
    told: str


@dataclass(frozen=True, slots=True)
class SequenceChart:
    """A confidence sequence over time: the band, the estimate, the margin; `band` and `line` are SVG paths."""

    band: str
    line: str
    margin: float
    zero: float | None
    dots: tuple[Dot, ...]
    times: tuple[Tick, ...]
    values: tuple[Tick, ...]
    told: str


@dataclass(frozen=True, slots=True)
class Span:
    """A state that held for a while."""

    x: float
    width: float
    state: str
    told: str


@dataclass(frozen=True, slots=True)
class WeightChart:
    """The states as a strip, and above it the challenger's share of the units as a line."""

    spans: tuple[Span, ...]
    line: str
    planned: tuple[Tick, ...]
    times: tuple[Tick, ...]
    top: float


def thinned(evaluations: Sequence[StoredEvaluation]) -> list[StoredEvaluation]:
    """Return at most some hundreds, evenly chosen, the first and the last among them."""
    if len(evaluations) <= _MOST_POINTS:
        return list(evaluations)
    step = (len(evaluations) - 1) / (_MOST_POINTS - 1)
    return [evaluations[round(index * step)] for index in range(_MOST_POINTS)]


def sequence_chart(
    found: Sequence[tuple[datetime, Judgement]], since: datetime, until: datetime
) -> SequenceChart | None:
    """Return the picture of one guardrail's judgements, oldest first; None where none has an estimate."""
    seen = [(at, one) for at, one in found if one.estimate is not None and math.isfinite(one.estimate)]
    if not seen:
        return None
    margin = seen[-1][1].margin
    low, high = _range(seen, margin)

    def x(at: datetime) -> float:
        return _x(at, since, until)

    def y(value: float) -> float:
        return HEIGHT * (high - min(max(value, low), high)) / (high - low)

    upper = [(x(at), y(_or(one.upper, high))) for at, one in seen]
    lower = [(x(at), y(_or(one.lower, low))) for at, one in seen]
    return SequenceChart(
        band=_path([*upper, *reversed(lower)]) + "Z",
        line=_path((x(at), y(one.estimate or 0.0)) for at, one in seen),
        margin=y(margin),
        zero=y(0.0) if low <= 0 <= high else None,
        dots=tuple(Dot(x(at), y(one.estimate or 0.0), str(one.verdict), told) for at, one, told in _settled(seen)),
        times=time_ticks(since, until),
        values=tuple(Tick(y(value), f"{value:+.3g}") for value in _round_values(low, high)),
        told=f"from {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC",
    )


def weight_chart(events: Sequence[Event], planned: Sequence[float], until: datetime) -> WeightChart | None:
    """Return the states and weights of a rollout over time; `planned` are the weights that its plan names."""
    if not events:
        return None
    since = events[0].at
    until = max(until, since + timedelta(seconds=1))
    top = max([0.01, *planned, *(event.weight for event in events)])
    ends = [*(event.at for event in events[1:]), until]
    spans: list[Span] = []
    points: list[tuple[float, float]] = []
    for event, end in zip(events, ends, strict=True):
        left, right = _x(event.at, since, until), _x(end, since, until)
        height = 100 * (1 - event.weight / top)
        points += [(left, height), (right, height)]
        told = f"{event.state.replace('_', ' ')} from {event.at:%Y-%m-%d %H:%M:%S}"
        if spans and spans[-1].state == event.state:
            spans[-1] = Span(spans[-1].x, right - spans[-1].x, event.state, spans[-1].told)
        else:
            spans.append(Span(left, right - left, event.state, told))
    lines = tuple(Tick(100 * (1 - one / top), f"{one:.4g}") for one in sorted(set(planned)))
    return WeightChart(tuple(spans), _path(points), lines, time_ticks(since, until), top)


def time_ticks(since: datetime, until: datetime) -> tuple[Tick, ...]:
    """Return a few marks between two times, as precise as their distance asks."""
    whole = until - since
    form = "%H:%M:%S" if whole < timedelta(hours=2) else "%H:%M" if whole < timedelta(days=2) else "%m-%d %H:%M"
    marks = (since + whole * index / (_TICKS - 1) for index in range(_TICKS))
    return tuple(Tick(_x(at, since, until), f"{at:{form}}") for at in marks)


def _settled(seen: Sequence[tuple[datetime, Judgement]]) -> Iterable[tuple[datetime, Judgement, str]]:
    """Yield the judgements from which on a guardrail had passed, or was violated."""
    before: Verdict | None = None
    for at, one in seen:
        if one.verdict != before and one.verdict in {Verdict.PASSED, Verdict.VIOLATED}:
            yield at, one, f"{one.verdict} at {at:%Y-%m-%d %H:%M:%S}, n = {one.n:,}"
        before = one.verdict


def _range(seen: Sequence[tuple[datetime, Judgement]], margin: float) -> tuple[float, float]:
    """Return the smallest and largest value to show: wide intervals of the beginning would flatten all others."""
    estimates = [one.estimate for _, one in seen if one.estimate is not None]
    widest = sorted(
        abs(bound)
        for _, one in seen
        for bound in (one.lower, one.upper)
        if bound is not None and math.isfinite(bound)
    )
    reach = widest[int(_SHOWN * (len(widest) - 1))] if widest else 0.0
    last = [one for one in (seen[-1][1].lower, seen[-1][1].upper) if one is not None and math.isfinite(one)]
    reach = min(reach, _MOST_OF_MARGIN * max(map(abs, [margin, *estimates, *last])))
    low = min([0.0, margin, *estimates, *last, *([-reach] if any(bound < 0 for bound in last) else [])])
    high = max([0.0, margin, *estimates, *last, reach])
    space = 0.06 * (high - low) or 1.0
    return low - space, high + space


def _round_values(low: float, high: float) -> list[float]:
    step = 10.0 ** math.floor(math.log10((high - low) / 2))
    for factor in (1, 2, 5, 10):
        if (high - low) / (step * factor) <= _TICKS:
            step *= factor
            break
    first = math.ceil(low / step)
    return [round(index * step, 12) for index in range(first, math.floor(high / step) + 1)]


def _or(value: float | None, other: float) -> float:
    return other if value is None or not math.isfinite(value) else value


def _x(at: datetime, since: datetime, until: datetime) -> float:
    whole = (until - since).total_seconds() or 1.0
    return WIDTH * min(max((at - since).total_seconds() / whole, 0.0), 1.0)


def _path(points: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
