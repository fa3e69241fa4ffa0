"""The page of a benchmark: sections of tables and findings, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from loadtests.bench.findings import Finding

SERVER_HEAD: Final = (
    "server",
    "CPU µs per request",
    "of all its processes",
    "requests/s",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "failed",
)

INTRODUCTION: Final = """
# Benchmarks

Written by `make bench`; the figures below are one run of it. The same registered models and the same rows for all,
one worker process per server and one thread for numeric libraries, a load generator of its own on the same machine.

Measured on {conditions.day} with {conditions.effort}. Figures are medians of repeats taken in turns; each
peer's ratio is the median over pairs of rounds, ours and its. Before that, servers answered {conditions.compared:,}
rows equally, to 1e-6.
"""
HOW_TO_READ: Final = """
## How to read it

- *CPU µs per request* is what the answering process spent; *of all its processes* adds whatever runs beside it (for
  FairMind Serving the Companion, which ships the prediction log, and BentoML's supervisor).
- Server and load generator share the cores, so requests/s says less than CPU does, and ratios say more than either.
  Figures move by 10 to 20 % from run to run.
- FairMind Serving checks a key, assigns each unit to a variant, keeps every prediction in its log and counts. The
  peers do none of that: the floor is what is left when nothing is done but decode, predict and encode.
- Open-loop latencies count from the moment a request was due, so that waiting in the client counts too.
"""


@dataclass(frozen=True, slots=True)
class Section:
    """What one scenario found: a table (may be empty), what is to be known about it, and its targets."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    findings: Sequence[Finding]
    notes: Sequence[str] = ()
    raw: Any = None


@dataclass(frozen=True, slots=True)
class Conditions:
    """How the figures came about."""

    day: str
    effort: str
    compared: int
    machine: Mapping[str, str]
    libraries: Mapping[str, str]


def server_row(title: str, median: Mapping[str, float]) -> list[str]:
    """Return the row of a table with `SERVER_HEAD` for one server's medians."""
    return [
        title,
        f"{median['cpu_answering']:,.0f}",
        f"{median['cpu_all']:,.0f}",
        f"{median['requests_per_second']:,.0f}",
        f"{median['p50']:.1f}",
        f"{median['p95']:.1f}",
        f"{median['p99']:.1f}",
        f"{median['failures']:.0f}",
    ]


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first are aligned to the right."""
    lines = [_line(head), "|---|" + "---:|" * (len(head) - 1), *map(_line, rows)]
    return "\n".join(lines)


def markdown_section(section: Section) -> str:
    """Return one section: its targets first, then its table, then what is to be known about it."""
    parts = [f"## {section.title}"]
    if section.findings:
        parts.append(_findings_table(section.findings))
    if section.rows:
        parts.append(markdown_table(section.head, section.rows))
    if section.notes:
        parts.append("\n".join(f"- {note}" for note in section.notes))
    return "\n\n".join(parts)


def markdown_page(sections: Sequence[Section], conditions: Conditions) -> str:
    """Return the whole page; `make bench` writes it."""
    findings = [finding for section in sections for finding in section.findings]
    met = sum(finding.met is True for finding in findings)
    missed = [finding for finding in findings if finding.met is not True]
    summary = f"## Targets\n\n{met} of {len(findings)} targets are met."
    if missed:
        summary += " These are not:\n\n" + _findings_table(missed)
    parts = [INTRODUCTION.format(conditions=conditions), summary, *map(markdown_section, sections), HOW_TO_READ]
    parts += ["## Where it was measured", _facts(conditions.machine), _facts(conditions.libraries)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def json_page(sections: Sequence[Section], conditions: Conditions) -> dict[str, Any]:
    """Return everything as JSON has it, with every single run where a scenario kept them."""
    return {"conditions": asdict(conditions), "sections": [asdict(section) for section in sections]}


def sections_of(page: Mapping[str, Any]) -> list[Section]:
    """Return the sections of a page that `json_page` made."""
    return [
        Section(**section | {"findings": [Finding(**finding) for finding in section["findings"]]})
        for section in page["sections"]
    ]


def renewed(sections: Sequence[Section], news: Sequence[Section], when: str) -> list[Section]:
    """Return sections with those of the same title replaced and new ones behind them, which say they are later."""
    later = {
        section.title: replace(section, notes=[*section.notes, f"Measured in a later run, on {when}."])
        for section in news
    }
    return [*(later.pop(section.title, section) for section in sections), *later.values()]


def _findings_table(findings: Sequence[Finding]) -> str:
    rows = [[finding.figure, finding.target, finding.measured, finding.verdict] for finding in findings]
    return markdown_table(("figure", "target", "measured", "verdict"), rows)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _facts(facts: Mapping[str, str]) -> str:
    return "\n".join(f"- {name}: {fact}" for name, fact in facts.items())
