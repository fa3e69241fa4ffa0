"""A replay as one HTML page: verdicts first, then whose decisions would change.

The page needs nothing else: no script, no font, no picture from elsewhere. It can be printed, mailed and kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from replay.result import Calibrated, GroupRates, ReplayResult, Tenth
from rollout.guardrail import Guardrail, Verdict
from rollout.judging import Judgement
from rollout.pages import MARKS, SMALLEST_CELL, number, page

_TEMPLATE: Final = Path(__file__).with_name("report.html.jinja")
_KINDS: Final = {Verdict.PASSED: "passed", Verdict.VIOLATED: "violated"}
TOLD: Final = {
    Verdict.PASSED: "Every guardrail keeps its margin on these rows.",
    Verdict.VIOLATED: "The challenger would have harmed: look at what is violated, and at whom it would have hit.",
    Verdict.INCONCLUSIVE: "Nothing is violated, and not all margins are shown to be kept: it takes more rows.",
    Verdict.INSUFFICIENT_DATA: "Nothing is violated, and the log knows too little to say more.",
}
DISCLAIMER: Final = (
    "A replay says what would have been decided about those who came, not who comes next, nor what follows from "
    "other decisions. A guardrail that passed is no worse than its margin, with the error allowed: no proof that a "
    "model is fair."
)


def html(result: ReplayResult) -> str:
    """Return the page; every text that came with data is escaped."""
    named = {one.name: one for one in result.guardrails}
    return page(_TEMPLATE).render(
        result=result,
        headline=f"Replay of {result.model}, version {result.challenger.version}",
        kind=_KINDS.get(result.verdict, "open"),
        told=TOLD[result.verdict],
        facts=list(facts(result)),
        judged=[_judged(named[one.guardrail], one) for one in result.judged()],
        changed=[_changed(one.attribute, one.group, one) for one in result.changed_decisions],
        rates=[_rates(one) for one in result.rates],
        calibration=", ".join(_error(one) for one in result.calibration or ()),
        tenths=list(_tenths(result.calibration)),
        smallest=SMALLEST_CELL,
        disclaimer=DISCLAIMER,
    )


def facts(result: ReplayResult) -> Iterator[tuple[str, str]]:
    """Yield what is known of the rows, as names and texts."""
    rows, outcomes = result.rows, result.outcomes
    left = {
        "later rows of a unit": rows.later,
        "of a version asked for by number": rows.by_number,
        "sent twice": rows.repeats,
        "with a chosen variant": rows.overridden,
        "without a prediction in the log": rows.unknown,
        "that cannot be scored": rows.unscored,
    }
    aside = ", ".join(f"{count:,} {name}" for name, count in left.items() if count)
    compared = f"{rows.compared:,}" + (
        f", {rows.without_unit:,} of them without a unit" if rows.without_unit else ""
    )
    yield "Rows compared", compared + (f"; left aside: {aside}" if aside else "")
    yield "Rows logged", f"{rows.logged:,}, {rows.archived:,} of them with features"
    yield (
        "Answers",
        (
            f"{rows.compared - rows.rescored:,} as logged, {rows.rescored:,} of another version asked anew; "
            f"{rows.checked:,} scored again, {rows.differing:,} with another answer"
        ),
    )
    yield (
        "Outcomes",
        f"{outcomes.known:,} known of {outcomes.due:,} due after {outcomes.maturity_seconds / 3600:g} hours",
    )
    if rows.refused:
        yield "Refused by the challenger", f"{rows.refused:,} rows"


def _judged(guardrail: Guardrail, one: Judgement) -> dict[str, str]:
    return {
        "verdict": str(one.verdict),
        "mark": MARKS[one.verdict],
        "name": guardrail.name,
        "reference": guardrail.reference or "",
        "estimate": number(one.estimate),
        "interval": f"{number(one.lower, '-∞')} to {number(one.upper, '∞')}",
        "margin": f"{one.margin:g}",
        "n": f"{one.n:,}",
        "needed": "" if one.needed is None or one.verdict is Verdict.PASSED else f"about {one.needed:,} more",
        "reason": one.reason or "",
    }


def _changed(attribute: str, group: str, one: Any) -> dict[str, Any]:
    small = one.of < SMALLEST_CELL
    return {
        "group": _name(attribute, group),
        "before": one.before,
        "after": one.after,
        "rows": "not shown" if small else f"{one.rows:,}",
        "of": f"fewer than {SMALLEST_CELL}" if small else f"{one.of:,}",
        "share": "" if small else f"{one.rows / one.of:.2%}",
        "small": small,
    }


def _rates(one: GroupRates) -> dict[str, Any]:
    small = one.rows < SMALLEST_CELL
    few = one.labelled < SMALLEST_CELL
    labelled = (one.accuracy, one.true_positive_rate, one.false_positive_rate)
    rates = [_rate(one.selection_rate, hidden=small), *(_rate(pair, hidden=few) for pair in labelled)]
    return {
        "group": _name(one.attribute, one.group),
        "rows": f"fewer than {SMALLEST_CELL}" if small else f"{one.rows:,}",
        "labelled": "" if small else f"fewer than {SMALLEST_CELL}" if few else f"{one.labelled:,}",
        "rates": rates,
        "small": small,
    }


def _rate(pair: Sequence[float | None], *, hidden: bool) -> str:
    return "not shown" if hidden else " → ".join(map(_share, pair))


def _tenths(calibration: Sequence[Calibrated] | None) -> Iterator[dict[str, Any]]:
    for place, both in enumerate(zip(*(one.tenths for one in calibration or ()), strict=True)):
        if any(one.rows for one in both):
            values = [value for one in both for value in _tenth(one)]
            yield {"name": f"{place / 10:g} to {(place + 1) / 10:g}", "cells": values}


def _tenth(one: Tenth) -> tuple[str, str, str]:
    if 0 < one.rows < SMALLEST_CELL:
        return f"fewer than {SMALLEST_CELL}", "not shown", "not shown"
    return f"{one.rows:,}", _share(one.score), _share(one.share)


def _error(one: Calibrated) -> str:
    return "unknown" if one.error is None else f"{one.error:.4f}"


def _name(attribute: str, group: str) -> str:
    return f"{attribute} = {group}" if attribute else "all"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
