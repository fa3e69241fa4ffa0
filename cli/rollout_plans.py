"""`fairmind rollout lint | simulate | report`: a plan before it runs, and what came of it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from cli.failures import REFUSED, UsageError
from cli.output import console, emit_json, results, table

if TYPE_CHECKING:
    from rollout.linter import Finding
    from rollout.plan import Plan
    from rollout.simulation import SimulationResult
    from rollout.traffic import Traffic

_COLOURS = {"error": "red", "warning": "yellow", "info": "cyan"}

Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
PlanFile = Annotated[Path, typer.Argument(metavar="PLAN.yaml")]
Units = Annotated[
    float | None,
    typer.Option(metavar="N", min=1, help="New units a day; as many as the log of the last day has, if left out."),
]
Page = Annotated[Path, typer.Option("--output", "-o", metavar="FILE.html", help="The page to write.")]


def register(group: typer.Typer) -> None:
    """Add the commands to `fairmind rollout`."""
    for command in (lint, simulate, report):
        group.command()(command)


def lint(plan: PlanFile, units_per_day: Units = None, as_json: Json = False) -> None:
    """Say what a plan can show at the traffic there is; exit 3 where `start` would refuse it."""
    from rollout.linter import lint as lint_plan
    from rollout.plan import Plan
    from rollout.power_preview import powers

    loaded = Plan.load(plan)
    traffic = _traffic(loaded, units_per_day)
    found = lint_plan(loaded, traffic)
    if as_json:
        power = [] if loaded.is_manual else [one.to_dict() for one in powers(loaded, traffic)]
        emit_json({"findings": [one.to_dict() for one in found], "power": power, "traffic": traffic.to_dict()})
    else:
        _show(found)
    if any(one.level == "error" for one in found):
        raise typer.Exit(REFUSED)


def simulate(
    plan: PlanFile,
    effect: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=HARM", help="How much worse the challenger is by a guardrail, in its own units."
        ),
    ] = None,
    runs: Annotated[int, typer.Option(metavar="N", min=1, help="How many rollouts to try.")] = 200,
    seed: Annotated[int, typer.Option(metavar="S", help="The same seed, the same result.")] = 0,
    units_per_day: Units = None,
    page: Annotated[
        Path | None, typer.Option("--report", metavar="FILE.html", help="Write the first of them as a report.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Try a plan on drawn counts: how often it would promote, roll back, or know nothing, and how soon."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from rollout.plan import Plan
    from rollout.simulated_report import simulated_report
    from rollout.simulation import simulate as simulate_plan

    loaded = Plan.load(plan)
    effects = dict(map(_effect, effect or []))
    traffic = _traffic(loaded, units_per_day)
    columns = (TextColumn("  rollouts"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("rollouts", total=runs)
        found = simulate_plan(
            loaded, traffic, effects=effects, runs=runs, seed=seed, tell=lambda count: bar.advance(task, count)
        )
    if page is not None:
        page.write_text(simulated_report(loaded, traffic, effects=effects, seed=seed), encoding="utf-8")
    if as_json:
        emit_json(found.to_dict() | {"traffic": traffic.to_dict()})
        return
    _show_result(found, traffic)


def report(rollout_id: Annotated[str, typer.Argument(metavar="ID")], output: Page, as_json: Json = False) -> None:
    """Write what was decided of a rollout and why as one HTML page."""
    from cli.context import open_context
    from rollout.report import report as make_report

    context = open_context()
    output.write_text(
        make_report(context.control, context.registry, rollout_id, datetime.now(UTC)), encoding="utf-8"
    )
    if as_json:
        emit_json({"id": rollout_id, "output": str(output)})
    else:
        results.print(f"the report of {escape(rollout_id)} is in {escape(str(output))}")


def _traffic(plan: Plan, units_per_day: float | None) -> Traffic:
    from cli.context import open_context
    from rollout.measured_traffic import measure_traffic

    return measure_traffic(open_context().log, plan, datetime.now(UTC), units_per_day=units_per_day)


def _effect(text: str) -> tuple[str, float]:
    name, _, value = text.rpartition("=")
    try:
        return name, float(value)
    except ValueError as error:
        raise UsageError(f"--effect {text}: write NAME=HARM, e.g. --effect dp_diff:SEX=0.1") from error


def _show(found: list[Finding]) -> None:
    for one in found:
        colour = _COLOURS[one.level]
        results.print(f"[{colour}]{one.level}[/{colour}] {escape(one.code)}: {escape(one.message)}", soft_wrap=True)
    if not found:
        results.print("a manual split: nothing is measured, nothing is to say")


def _show_result(found: SimulationResult, traffic: Traffic) -> None:
    from rollout.linter import span
    from rollout.simulation import INCONCLUSIVE, PROMOTED, ROLLED_BACK

    harm = ", ".join(f"{name} worse by {value:g}" for name, value in found.effects.items())
    title = f"{len(found.runs)} rollouts of a challenger " + (f"with {harm}" if harm else "like the champion")
    shown = table(title, "end", "share", "95 % interval", "median time", "by")
    for end in (PROMOTED, ROLLED_BACK, INCONCLUSIVE):
        low, high = found.interval(end)
        time = found.median_time(end)
        shown.add_row(
            end.replace("_", " "),
            f"{found.share(end):.1%}",
            f"{low:.1%} to {high:.1%}",
            "" if time is None else span(time),
            escape(", ".join(f"{name} {count}" for name, count in found.by(end).items())),
        )
    results.print(shown)
    results.print(f"at {traffic.units_per_day:,.0f} new units a day; approvals are taken to be given at once")
    for one in traffic.assumed:
        results.print(f"[dim]not measured, assumed: {escape(one)}[/dim]")
