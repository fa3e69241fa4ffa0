"""`python -m rollout.simulated_picture PLAN.yaml FILE.svg`: the picture on the page of rollouts, simulated."""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path
from typing import Final

import numpy as np

from rollout.evidence import CHALLENGER
from rollout.plan import Plan
from rollout.report_charts import HEIGHT, WIDTH, SequenceChart, sequence_chart
from rollout.simulated_units import SimulatedUnits
from rollout.simulation import Look, Run, run
from rollout.traffic import assumed_traffic

GUARDRAIL: Final = "dp_diff:SEX"
_UNITS_PER_DAY: Final = 20_000.0
_SPACING: Final = 0.1
_SEED: Final = 8
_PANEL: Final = HEIGHT + 66
_STYLE: Final = """text { font: 12px system-ui, "Segoe UI", Roboto, "Liberation Sans", sans-serif; fill: #57606a }
.title { font-size: 14px; fill: #1b1f24 } .grid { stroke: #d0d7de } .zero { stroke: #57606a }
.limit { fill: #b42318 }
.band { fill: #4a7fb5; fill-opacity: .22 } .line { fill: none; stroke: #4a7fb5; stroke-width: 2 }
.margin { stroke: #b42318; stroke-width: 1.5; stroke-dasharray: 6 4 }
.passed { fill: #1a7f37 } .violated { fill: #b42318 }"""


def picture(plan: Plan) -> str:
    """Return one guardrail of two simulated rollouts as SVG: of a version as good, and of one that harms."""
    panels: list[str] = []
    for effect, told in ((0.0, "A version like the champion"), (0.1, "One that widens the gap by 10 points")):
        looks: list[Look] = []
        traffic = assumed_traffic(plan, _UNITS_PER_DAY)
        units = SimulatedUnits(plan, traffic, {GUARDRAIL: effect}, np.random.default_rng(_SEED))
        ended = run(plan, units, spacing=_SPACING, keep=looks.append)
        found = [
            (look.at, one)
            for look in looks
            for one in look.evaluation.judgements
            if (one.guardrail, one.arm) == (GUARDRAIL, CHALLENGER)
        ]
        chart = sequence_chart(found, looks[0].at, looks[-1].at)
        if chart is not None:
            panels.append(_panel(chart, f"{told}: {_told(ended)}", _PANEL * len(panels)))
    height = _PANEL * len(panels)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH + 140} {height}" width="{WIDTH + 140}" '
        f'height="{height}" role="img">\n<title>The gap between the selection rates of women and men, and its '
        f"interval, over two simulated rollouts</title>\n<style>{_STYLE}</style>\n"
        f'<rect width="100%" height="100%" fill="#fff"/>\n{"".join(panels)}</svg>\n'
    )


def _told(ended: Run) -> str:
    return f"{ended.end.replace('_', ' ')} by {ended.by}" if ended.end == "rolled_back" else ended.end


def _panel(chart: SequenceChart, title: str, top: int) -> str:
    parts = [
        f'<g transform="translate(60 {top + 34})">',
        f'<text class="title" x="0" y="-14">{escape(title)}</text>',
    ]
    for tick in chart.values:
        told = f'<text x="-8" y="{tick.at + 4:.1f}" text-anchor="end">{tick.told}</text>'
        parts.append(_line("grid", tick.at) + told)
    parts += [
        f'<text x="{tick.at:.1f}" y="{HEIGHT + 20}" text-anchor="middle">{tick.told}</text>' for tick in chart.times
    ]
    if chart.zero is not None:
        parts.append(_line("zero", chart.zero))
    parts += [f'<path class="band" d="{chart.band}"/>', f'<path class="line" d="{chart.line}"/>']
    parts.append(_line("margin", chart.margin))
    parts.append(f'<text class="limit" x="{WIDTH + 6}" y="{chart.margin + 4:.1f}">margin</text>')
    for dot in chart.dots:
        place = f'class="{dot.verdict}" cx="{dot.x:.1f}" cy="{dot.y:.1f}" r="5"'
        parts.append(f"<circle {place}><title>{escape(dot.told)}</title></circle>")
    return "\n".join([*parts, "</g>\n"])


def _line(name: str, y: float) -> str:
    return f'<line class="{name}" x1="0" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(picture(Plan.load(Path(sys.argv[1]))), encoding="utf-8")
