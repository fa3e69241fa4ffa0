"""Tables of what a rollout has shown, and of what became of its log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from cli.output import table

if TYPE_CHECKING:
    from rollout.verify import Verified


def evaluation_table(evaluation: Mapping[str, Any]) -> Table:
    """Return an evaluation's judgements, a row each; numbers in the metric's own units, worse is larger."""
    shown = table("Evaluation", "guardrail", "arm", "verdict", "estimate", "interval", "margin", "n", "needed")
    for one in evaluation["judgements"]:
        interval = f"{_number(one['lower'])} to {_number(one['upper'])}"
        shown.add_row(
            escape(one["guardrail"]),
            one["arm"],
            one["verdict"].replace("_", " "),
            _number(one["estimate"]),
            interval,
            f"{one['margin']:g}",
            f"{one['n']:,}",
            "-" if one["needed"] is None else f"{one['needed']:,}",
        )
    shown.caption = escape("; ".join(evaluation["holds"])) or None
    return shown


def verified_table(found: Sequence[Verified]) -> Table:
    """Return what verifying each rollout's log found."""
    shown = table("Decisions", "rollout", "events", "evaluations", "verdict")
    for one in found:
        verdict = one.problem or (f"as written; {one.note}" if one.note else "as written")
        shown.add_row(one.rollout_id, str(one.events), str(one.evaluations), escape(verdict))
    return shown


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
