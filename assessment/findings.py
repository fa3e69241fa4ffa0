"""What a bias test found beside its disparities, as tables for whatever shows them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from assessment.flips import FlipReport
from assessment.proxies import ProxyReport
from assessment.result import BiasTestResult
from fairness.aggregates import Aggregate
from fairness.families import FamilyRecord
from fairness.report import AttributeReport

_METHODS: Final = {"holm": "Holm", "benjamini_hochberg": "Benjamini and Hochberg"}
_PURPOSES: Final = {
    "gate": "what gates",
    "shown": "what is shown only",
    "exploration": "each group beside the reference",
}
_MOST_FEATURES: Final = 10
"""The strongest ones; the rest is in the result."""


@dataclass(frozen=True, slots=True)
class Table:
    """A heading, columns, rows of texts, and what to say below them."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def comparisons(attribute: AttributeReport) -> Table | None:
    """Return each group beside the reference group; None where there is none to compare."""
    rows = tuple(
        (
            one.group,
            one.metric.replace("_", " "),
            "undefined" if one.value is None else f"{one.value:.3f}",
            span(one.lower, one.upper),
            "" if one.q_value is None else f"{one.q_value:.3g}",
            one.reason or "",
        )
        for one in attribute.comparisons
    )
    if not rows:
        return None
    return Table(
        f"Each group beside '{attribute.reference}'",
        ("group", "metric", "value", "interval", "q-value", "note"),
        rows,
        ("differences are group minus reference, ratios group over reference; nothing here gates",),
    )


def tables(result: BiasTestResult) -> Iterator[Table]:
    """Yield what is about all rows: flips and proxies where they were asked for, indices, and the tests made."""
    if result.flips:
        yield Table(
            "Decisions with nothing but the attribute changed",
            ("attribute", "group", "rows", "flip rate", "became favourable", "stopped to be", "p-value"),
            tuple(row for report in result.flips for row in _flips(report)),
            ("0 does not show that groups are treated alike: a model may tell them by other features",),
        )
    if result.proxies:
        yield Table(
            "What the features tell of the attribute",
            ("attribute", "feature", "Cramér's V", "information", "note"),
            tuple(row for report in result.proxies for row in _proxies(report)),
            tuple(_told_together(report) for report in result.proxies),
        )
    if result.individual:
        yield Table(
            "Between persons rather than groups",
            ("index", "value", "note"),
            tuple(_index(name, found) for name, found in result.individual.items()),
        )
    if result.families:
        yield Table(
            "Tests corrected for together",
            ("of", "tests", "correction", "level", "reject equal rates"),
            tuple(map(_family, result.families)),
        )


def span(lower: float | None, upper: float | None) -> str:
    """Return an interval in words; empty where there is none."""
    if lower is None:
        return ""
    return f"{lower:.3f} or more" if upper is None else f"{lower:.3f} to {upper:.3f}"


def _flips(report: FlipReport) -> Iterator[tuple[str, ...]]:
    swapped = f"{report.attribute}: {report.one} and {report.other}"
    if report.reason is not None:
        yield swapped, "", "0", report.reason, "", "", ""
    for flips in report.groups:
        rate = flips.flip_rate
        told = "undefined" if rate.value is None else f"{rate.value:.3f} ({span(rate.lower, rate.upper)})"
        yield (
            swapped,
            flips.group,
            f"{flips.rows:,}",
            told,
            f"{flips.gained:,}",
            f"{flips.lost:,}",
            f"{flips.p_value:.3g}",
        )


def _proxies(report: ProxyReport) -> Iterator[tuple[str, ...]]:
    for proxy in report.features[:_MOST_FEATURES]:
        known = proxy.cramers_v is not None and proxy.information is not None
        numbers = (f"{proxy.cramers_v:.3f}", f"{proxy.information:.3f}") if known else ("undefined", "undefined")
        yield report.attribute, proxy.feature, *numbers, proxy.reason or ""


def _told_together(report: ProxyReport) -> str:
    found = report.together
    if found.balanced_accuracy is None or found.guessing is None:
        return f"{report.attribute}: what all features tell together is undefined: {found.reason}"
    return (
        f"{report.attribute}: a model fitted to all features names the right group of "
        f"{found.balanced_accuracy:.1%} of rows it has not seen "
        f"({span(found.lower, found.upper)}, groups weigh alike); guessing, {found.guessing:.1%}"
    )


def _index(name: str, found: Aggregate) -> tuple[str, ...]:
    value = "undefined" if found.value is None else f"{found.value:.4f}"
    return name.replace("_", " "), value, found.reason or ""


def _family(family: FamilyRecord) -> tuple[str, ...]:
    purpose, method = _PURPOSES[family.purpose], _METHODS[family.method]
    return purpose, f"{family.size:,}", method, f"{family.alpha:g}", f"{family.rejected:,}"
