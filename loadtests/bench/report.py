"""The table of a benchmark, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

HEAD = (
    "| server | CPU µs per request | of all its processes | requests/s | p50 ms | p95 ms | p99 ms | failed |\n"
    "|---|---:|---:|---:|---:|---:|---:|---:|"
)

INTRODUCTION = """
# Benchmarks

Written by `make bench`; the figures below are one run of it. The same real rows, one registered model, one worker
process per server, and a load generator of its own in a closed loop.

Measured on {conditions.day}: model version {conditions.model_version} with {conditions.columns} columns,
{conditions.connections} connections, medians of {conditions.repeats} rounds of {conditions.seconds:g} s, servers in
turns. Before that all servers answered {conditions.compared:,} rows equally, to 1e-6.
"""
HOW_TO_READ = """
## How to read it

- *CPU µs per request* is what the answering process spent; *of all its processes* adds whatever runs beside it (for
  FairMind Serving the Companion, which ships the prediction log, and BentoML's supervisor).
- Server and load generator share the cores, so requests/s says less than CPU does, and ratios say more than either.
  Figures move by 10 to 20 % from run to run.
- FairMind Serving assigns each unit to a variant, keeps every prediction in its log and counts metrics. The peers
  do none of that: the floor is what is left when nothing is done but decode, predict and encode.
"""


@dataclass(frozen=True, slots=True)
class Table:
    """Medians per contender, for one number of rows per request."""

    rows_per_request: int
    lines: Sequence[tuple[str, Mapping[str, float]]]


@dataclass(frozen=True, slots=True)
class Conditions:
    """How the figures came about."""

    day: str
    model_version: str
    columns: int
    connections: int
    repeats: int
    seconds: float
    compared: int
    machine: Mapping[str, str]
    libraries: Mapping[str, str]


def markdown_table(table: Table) -> str:
    """Return one table."""
    lines = [HEAD]
    for title, median in table.lines:
        lines.append(
            f"| {title} | {median['cpu_answering']:,.0f} | {median['cpu_all']:,.0f} "
            f"| {median['requests_per_second']:,.0f} | {median['p50']:.1f} | {median['p95']:.1f} "
            f"| {median['p99']:.1f} | {median['failures']:.0f} |"
        )
    return "\n".join(lines)


def markdown_page(tables: Sequence[Table], conditions: Conditions) -> str:
    """Return the whole page; `make bench` writes it."""
    parts = [INTRODUCTION.format(conditions=conditions)]
    for table in tables:
        rows = "One row" if table.rows_per_request == 1 else f"{table.rows_per_request} rows"
        parts += [f"## {rows} per request", markdown_table(table)]
    parts += [HOW_TO_READ, "## Where it was measured", _facts(conditions.machine), _facts(conditions.libraries)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _facts(facts: Mapping[str, str]) -> str:
    return "\n".join(f"- {name}: {fact}" for name, fact in facts.items())
