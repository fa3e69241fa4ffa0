"""What the pages of rollouts and replays have in common: how they look, and that nothing in them does harm."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from rollout.guardrail import Verdict

SMALLEST_CELL: Final = 20
"""Groups of fewer units are shown without their rate: it would be some few people's own."""

MARKS: Final = {
    Verdict.PASSED: "✓ passed",
    Verdict.VIOLATED: "✗ violated",
    Verdict.INCONCLUSIVE: "? inconclusive",
    Verdict.INSUFFICIENT_DATA: "… insufficient data",
    Verdict.NO_DATA: "∅ no data",
    Verdict.ERROR: "! error",
}
"""A sign beside the colour, which not everybody sees and no black-and-white printer has."""

_STYLE: Final = Path(__file__).with_name("report.css")


@cache
def page(template: Path) -> Template:
    """Return a template whose `style` is that of all pages; every text that comes with data is escaped."""
    made = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_harmless
    )
    made.globals["style"] = Markup(_STYLE.read_text(encoding="utf-8"))  # noqa: S704  (our own file)
    return made.from_string(template.read_text(encoding="utf-8"))


def number(value: float | None, missing: str = "unknown") -> str:
    """Return an estimate or a bound as pages have it.

    >>> number(0.05), number(None, "∞")
    ('+0.0500', '∞')
    """
    return missing if value is None else f"{value:+.4f}"


def _harmless(value: Any) -> Any:
    """Return text without control characters and halves of surrogate pairs, which no page could be encoded with."""
    if type(value) is not str:
        return value
    return "".join(one if one.isprintable() or one == "\n" else "\N{REPLACEMENT CHARACTER}" for one in value)
