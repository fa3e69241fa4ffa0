"""A bias test as text for a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from assessment.findings import Table, comparisons, span, tables
from assessment.result import BiasTestResult
from fairness.gate import Verdict
from fairness.rates import Rate
from fairness.report import AttributeReport, DisparityReport, GroupReport

DISCLAIMER = (
    "A bias test measures differences between the groups it is given, on the data it is given. Passing one does "
    "not make a model fair, and the limits are engineering choices, not law."
)
"""What a reader must not take a report for."""

_GROUP_COLUMNS = ("group", "rows", "selection rate", "true positive rate", "false positive rate")
_DISPARITY_COLUMNS = ("disparity", "value", "interval", "limit", "verdict", "highest / lowest", "note")


def text(result: BiasTestResult) -> str:
    """Return the test as plain text: two tables per attribute, rates with their 95 % intervals."""
    lines = [headline(result)]
    for attribute in result.attributes:
        lines += ["", f"{printable(attribute.attribute)}: {word(attribute.verdict)}"]
        lines += _aligned(_GROUP_COLUMNS, _group_rows(attribute))
        lines += ["", *_aligned(_DISPARITY_COLUMNS, _disparity_rows(attribute))]
        lines += [f"note: {printable(note)}" for note in attribute.notes]
    for table in tables(result):
        lines += ["", table.title, *_aligned(table.header, table.rows)]
        lines += [f"note: {printable(note)}" for note in table.notes]
    lines += ["", *(f"note: {printable(note)}" for note in result.notes)] if result.notes else []
    return "\n".join(line.rstrip() for line in lines) + "\n"


def markdown(result: BiasTestResult) -> str:
    """Return the test as GitHub-flavoured Markdown, with the same tables."""
    lines = [f"**{escaped(headline(result))}**"]
    for attribute in result.attributes:
        lines += ["", f"### {escaped(attribute.attribute)}: {word(attribute.verdict)}", ""]
        lines += _piped(_GROUP_COLUMNS, _group_rows(attribute))
        lines += ["", *_piped(_DISPARITY_COLUMNS, _disparity_rows(attribute))]
        lines += ["", *(f"- {escaped(note)}" for note in attribute.notes)] if attribute.notes else []
        compared = comparisons(attribute)
        lines += _section("####", compared) if compared is not None else []
    for table in tables(result):
        lines += _section("###", table)
    lines += ["", *(f"- {escaped(note)}" for note in result.notes)] if result.notes else []
    return "\n".join(lines) + "\n"


def headline(result: BiasTestResult) -> str:
    """Return the test in one line: what was tested, on how many rows, and the verdict."""
    model = result.model or "unnamed model"
    version = f" version {result.model_version}" if result.model_version else ""
    return (
        f"Bias test of {printable(model)}{printable(version)} on {result.rows:,} rows, "
        f"favourable label {printable(repr(result.favourable))}: {word(result.verdict)}"
    )


def printable(text: str) -> str:
    """Return text without control characters: group names come from the data and must not steer a terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _group_rows(attribute: AttributeReport) -> list[tuple[str, ...]]:
    return [_group_row(group) for group in attribute.groups]


def _group_row(group: GroupReport) -> tuple[str, ...]:
    rates = (group.selection_rate, group.true_positive_rate, group.false_positive_rate)
    name = f"{group.group} (not compared)" if not group.compared else group.group
    return (name, f"{group.rows:,}", *(_rate(rate) for rate in rates))


def _disparity_rows(attribute: AttributeReport) -> list[tuple[str, ...]]:
    return [_disparity_row(disparity) for disparity in attribute.disparities]


def _disparity_row(disparity: DisparityReport) -> tuple[str, ...]:
    sign = "≥" if disparity.metric.is_ratio else "≤"
    return (
        str(disparity.metric),
        "undefined" if disparity.value is None else f"{disparity.value:.3f}",
        span(disparity.lower, disparity.upper),
        f"{sign} {disparity.limit:g}" if disparity.limit is not None else "none",
        word(disparity.verdict) + ("" if disparity.gating or disparity.verdict is None else " (shown only)"),
        f"{disparity.highest} / {disparity.lowest}" if disparity.highest is not None else "",
        disparity.note or "",
    )


def _rate(rate: Rate) -> str:
    if rate.value is None:
        return "undefined"
    return f"{rate.value:.3f} ({span(rate.lower, rate.upper)})"


def word(verdict: Verdict | None) -> str:
    """Return a verdict in words."""
    return "not judged" if verdict is None else verdict.value.replace("_", " ")


def _aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [[printable(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return [f"  {line}" for line in (lines[0], "  ".join("-" * width for width in widths), *lines[1:])]


def _section(level: str, table: Table) -> list[str]:
    lines = ["", f"{level} {escaped(table.title)}", "", *_piped(table.header, table.rows)]
    return [*lines, "", *(f"- {escaped(note)}" for note in table.notes)] if table.notes else lines


def _piped(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(escaped(cell) for cell in row)} |" for row in (header, *rows)]
    return [lines[0], "|" + " --- |" * len(header), *lines[1:]]


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is."""
    plain = printable(text).replace("\\", "\\\\")
    for character in "|<>*`[]":
        plain = plain.replace(character, f"\\{character}")
    return plain
