"""What a mitigation changed, as a table: before, after, and what was paid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from cli.output import results, table

if TYPE_CHECKING:
    from fairness.rates import Rate
    from fairness.report import AttributeReport
    from training.before_after import BeforeAfter

_NONE = "-"


def print_change(change: BeforeAfter) -> None:
    """Print a mitigated version beside the one it is the mitigation of, with the intervals of groups and gaps."""
    from training.before_after import SHOWN_RATES

    before, after = change.before, change.after
    results.print()
    title = f"{after.version} is {before.version} mitigated for {change.attribute} by {change.method}"
    shown = table(
        escape(f"{title} ({change.constraint}), on the same {change.rows:,} held-out rows"),
        "",
        *(escape(side.version) for side in (before, after)),
        "change",
    )
    for metric, value in before.quality.items():
        shown.add_row(metric, f"{value:.4f}", f"{after.quality[metric]:.4f}", _signed(value, after.quality[metric]))
    for old, new in zip(before.fairness.disparities, after.fairness.disparities, strict=True):
        sides = (_with_limits(one.value, one.lower, one.upper) for one in (old, new))
        shown.add_row(str(old.metric), *sides, _signed(old.value, new.value))
    groups = dict(zip(_names(before.fairness), after.fairness.groups, strict=True))
    for one in before.fairness.groups:
        for name in SHOWN_RATES:
            was, became = _rate(one, name), _rate(groups[one.group], name)
            sides = (_with_limits(rate.value, rate.lower, rate.upper) for rate in (was, became))
            shown.add_row(escape(f"{name} of '{one.group}'"), *sides, _signed(was.value, became.value))
    results.print(shown)


def _names(report: AttributeReport) -> list[str]:
    return [group.group for group in report.groups]


def _rate(group: object, name: str) -> Rate:
    rate: Rate = getattr(group, name)
    return rate


def _with_limits(value: float | None, lower: float | None, upper: float | None) -> str:
    if value is None:
        return _NONE
    if lower is None and upper is None:
        return f"{value:.3f}"
    ends = ("0" if lower is None else f"{lower:.3f}", "∞" if upper is None else f"{upper:.3f}")
    return escape(f"{value:.3f} [{ends[0]}, {ends[1]}]")


def _signed(before: float | None, after: float | None) -> str:
    return _NONE if before is None or after is None else f"{after - before:+.4f}"
