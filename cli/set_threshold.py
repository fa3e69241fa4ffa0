"""`fairmind models set-threshold`: a version that decides otherwise, without training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import console, emit_json, results, table

if TYPE_CHECKING:
    from training.decision_version import DecisionVersion


def register(models: typer.Typer) -> None:
    """Add the command to `fairmind models`."""
    models.command("set-threshold")(set_threshold)


def set_threshold(
    reference: Annotated[str, typer.Argument(metavar="REF", help="name@alias, name/version or models:/…")],
    threshold: Annotated[
        float,
        typer.Argument(metavar="T", help="The second class at this probability and above; three decimals."),
    ],
    why: Annotated[str | None, typer.Option(help="The reason, recorded on the new version.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Make a version that scores as REF does and decides at T, gated anew without training; no alias moves."""
    from cli.context import open_context
    from registry.model_cache import ModelCache
    from registry.reference import Reference
    from training.decision_version import set_threshold as make_version

    context = open_context()
    made = make_version(
        Reference.parse(reference),
        threshold,
        registry=context.registry,
        cache=ModelCache(context.home.models),
        store=context.tracking,
        actor=context.actor,
        reason=why,
    )
    if as_json:
        emit_json(made.as_json())
    else:
        _print(made)


def _print(made: DecisionVersion) -> None:
    from rich.markup import escape

    from cli.models import print_gates

    shown = table(escape(f"{made.reference} is {made.decision_of} deciding at {made.threshold:g}"), "held out", "")
    for metric, value in made.metrics.items():
        shown.add_row(escape(metric), f"{value:.4f}")
    results.print(shown)
    if made.gates.results:
        print_gates([result.model_dump(mode="json") for result in made.gates.results])
    refusing = made.gates.refusing()
    for result in refusing:
        console.print(f"[red]{escape(str(made.reference))} would be refused:[/red] {escape(result.describe())}")
    if not refusing:
        results.print(f"next: fairmind models promote {made.reference}", markup=False)
