"""A bias test as one HTML page: verdicts first, then the groups as bars with their intervals.

The page needs nothing else: no script, no font, no picture from elsewhere. It can be printed, mailed and kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, StrictUndefined, Template

from assessment.findings import comparisons, span, tables
from assessment.render import DISCLAIMER, headline, printable, word
from assessment.result import BiasTestResult
from fairness.gate import Verdict
from fairness.rates import Rate, RateName
from fairness.report import AttributeReport, DisparityReport, GroupReport

_TEMPLATE: Final = Path(__file__).with_name("report.html.jinja")
_CHARTS: Final = {
    RateName.SELECTION_RATE: "Who is selected",
    RateName.TRUE_POSITIVE_RATE: "Of those whose outcome was favourable, who is selected",
    RateName.FALSE_POSITIVE_RATE: "Of those whose outcome was not, who is selected all the same",
}
_ORDER: Final = (Verdict.FAIL, Verdict.INSUFFICIENT_EVIDENCE, Verdict.PASS)
_BAR_PIXELS: Final = 420
_ROW_PIXELS: Final = 28


@dataclass(frozen=True, slots=True)
class Bar:
    """One group in a chart; pixels from the left edge of the scale. `width` is None where the rate is undefined."""

    group: str
    y: int
    width: float | None
    lower: float
    upper: float
    told: str
    compared: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """One rate of all groups of an attribute."""

    rate: str
    title: str
    bars: tuple[Bar, ...]
    height: int
    undefined: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """One disparity as a row of a table."""

    attribute: str
    metric: str
    verdict: str
    mark: str
    value: str
    interval: str
    chance: str
    limit: str
    groups: str
    note: str
    gating: bool


def html(result: BiasTestResult) -> str:
    """Return the page; every text that came with the data is escaped."""
    judged = [
        _finding(attribute.attribute, disparity)
        for attribute in result.attributes
        for disparity in attribute.disparities
        if disparity.verdict is not None
    ]
    judged.sort(key=lambda shown: (_ORDER.index(Verdict(shown.verdict)), not shown.gating))
    return _template().render(
        result=result,
        headline=headline(result),
        verdict=_kind(result.verdict),
        word=word(result.verdict),
        judged=judged,
        attributes=[
            {
                "name": attribute.attribute,
                "verdict": _kind(attribute.verdict),
                "word": word(attribute.verdict),
                "charts": [_chart(attribute, rate, title) for rate, title in _CHARTS.items()],
                "groups": [_row(group) for group in attribute.groups],
                "rest": [_finding(attribute.attribute, d) for d in attribute.disparities if d.verdict is None],
                "notes": attribute.notes,
                "comparisons": comparisons(attribute),
            }
            for attribute in result.attributes
        ],
        tables=list(tables(result)),
        bar=_BAR_PIXELS,
        row=_ROW_PIXELS,
        disclaimer=DISCLAIMER,
    )


@cache
def _template() -> Template:
    made = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_harmless
    )
    return made.from_string(_TEMPLATE.read_text(encoding="utf-8"))


def _harmless(value: Any) -> Any:
    """Return text without control characters and halves of surrogate pairs, which no page could be encoded with."""
    return printable(value) if type(value) is str else value


def _finding(attribute: str, disparity: DisparityReport) -> Finding:
    sign = "≥" if disparity.metric.is_ratio else "≤"
    return Finding(
        attribute=attribute,
        metric=str(disparity.metric),
        verdict=_kind(disparity.verdict),
        mark=_mark(disparity.verdict),
        value="undefined" if disparity.value is None else f"{disparity.value:.3f}",
        interval=span(disparity.lower, disparity.upper),
        chance=_by_chance(disparity),
        limit="" if disparity.limit is None else f"{sign} {disparity.limit:g}",
        groups="" if disparity.highest is None else f"{disparity.highest} / {disparity.lowest}",
        note=disparity.note or "",
        gating=disparity.gating,
    )


def _chart(attribute: AttributeReport, rate: RateName, title: str) -> Chart:
    rates: list[tuple[GroupReport, Rate]] = [(group, getattr(group, str(rate))) for group in attribute.groups]
    bars = tuple(
        Bar(
            group=group.group,
            y=index * _ROW_PIXELS,
            width=None if found.value is None else found.value * _BAR_PIXELS,
            lower=(found.lower or 0.0) * _BAR_PIXELS,
            upper=(found.upper or 0.0) * _BAR_PIXELS,
            told=_told(found),
            compared=rate in group.compared,
        )
        for index, (group, found) in enumerate(rates)
    )
    return Chart(
        rate=str(rate).replace("_", " "),
        title=title,
        bars=bars,
        height=len(bars) * _ROW_PIXELS,
        undefined=tuple(f"{group.group}: {found.reason}" for group, found in rates if found.value is None),
    )


def _told(rate: Rate) -> str:
    if rate.value is None:
        return "undefined"
    return f"{rate.value:.3f} ({span(rate.lower, rate.upper)}), of {rate.denominator:,}"


def _by_chance(disparity: DisparityReport) -> str:
    """Return what groups treated alike would show."""
    chance = disparity.chance
    return "" if chance is None else f"{chance.typical:.3f}, seldom beyond {chance.extreme:.3f}"


def _row(group: GroupReport) -> dict[str, Any]:
    shown = (RateName.BASE_RATE, *_CHARTS, RateName.PRECISION, RateName.ACCURACY)
    rates: list[Rate] = [getattr(group, str(name)) for name in shown]
    return {
        "name": group.group,
        "rows": f"{group.rows:,}",
        "labelled": f"{group.labelled:,}",
        "small": group.small or not group.compared,
        "rates": ["undefined" if rate.value is None else f"{rate.value:.3f}" for rate in rates],
        "names": [str(name).replace("_", " ") for name in shown],
    }


def _kind(verdict: Verdict | None) -> str:
    return "none" if verdict is None else str(verdict)


def _mark(verdict: Verdict | None) -> str:
    """Return a sign beside the colour, which not everybody sees and no black-and-white printer has."""
    marks = {Verdict.PASS: "✓ pass", Verdict.FAIL: "✗ fail", Verdict.INSUFFICIENT_EVIDENCE: "? not enough evidence"}
    return "not judged" if verdict is None else marks[verdict]
