"""`fairmind reproduce`: one logged decision made again, and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.markup import escape

from cli.failures import FAILED
from cli.output import console, emit_json, results, table

if TYPE_CHECKING:
    from rich.table import Table

    from explanation.explanation import Explanation
    from replay.lineage import Lineage
    from replay.reproduced import Reproduction
    from replay.rollout_part import RolloutPart

_WORDS: Final = {
    True: "[green]the same, bit for bit[/green]",
    False: "[red]not the same[/red]",
    None: "[yellow]not reproduced[/yellow]",
}
_UNKNOWN = "not known"


def register(root: typer.Typer) -> None:
    """Add the command to the root command."""
    root.command("reproduce")(reproduce)


def reproduce(
    prediction_id: Annotated[str, typer.Argument(metavar="PREDICTION_ID", help="The id that the answer gave.")],
    explain: Annotated[
        bool, typer.Option("--explain/--no-explain", help="Whether each feature's part in the score is asked for.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Make one logged decision again by the version that answered it; say whether it is the same, and why it is so.

    Exit status 1: it is not the same, or it cannot be made again.
    """
    from bentos.explaining import Explaining
    from bentos.reproducing import open_reproducer
    from cli.context import open_context
    from explanation.errors import ExplanationError

    context = open_context()
    reproducer = open_reproducer(context, prepares=True)
    found = reproducer.find(prediction_id)
    made = reproducer.reproduce(found)
    explanation, unexplained = None, ""
    if explain:
        try:
            explanation = Explaining(reproducer, context.settings.explanation).logged(found).explanation
        except ExplanationError as error:
            unexplained = str(error)
    if as_json:
        told = None if explanation is None else explanation.model_dump(mode="json")
        more = {"features": found.features, "explanation": told, "unexplained": unexplained}
        emit_json(made.model_dump(mode="json") | more)
    else:
        _show(made, found.features, explanation)
        if unexplained:
            console.print(f"[yellow]not explained:[/yellow] {escape(unexplained)}", soft_wrap=True)
    if not made.same:
        raise typer.Exit(FAILED)


def _show(made: Reproduction, features: dict[str, Any] | None, explanation: Explanation | None) -> None:
    results.print(_verdict(made), soft_wrap=True)
    tables = [_answer_table(made), _origin_table(made)]
    if explanation is None and features is not None:
        tables.append(_features_table(features))
    for shown in tables:
        results.print()
        results.print(shown)
    if explanation is not None:
        _print_explanation(explanation)


def _verdict(made: Reproduction) -> str:
    return f"{made.prediction_id}: {_WORDS[made.same]}" + (f": {escape(made.reason)}" if made.reason else "")


def _answer_table(made: Reproduction) -> Table:
    logged, again = made.logged, made.recomputed
    shown = table("Decision", "", "logged", "made again")
    shown.columns[1].overflow = "fold"  # a digest is copied whole
    shown.add_row("prediction", _value(logged.prediction), "-" if again is None else _value(again.prediction))
    shown.add_row("score", _value(logged.score), "-" if again is None else _value(again.score))
    rule = (
        "the most probable class" if made.threshold is None else f"{_label(made)} at {made.threshold:g} and above"
    )
    shown.add_row("decision rule", "", rule if made.classes else "-")
    shown.add_row("answered (UTC)", f"{logged.served_at:%Y-%m-%d %H:%M:%S.%f}", "")
    shown.add_row(
        "by", escape(f"{made.version.name}/{made.version.version}"), made.version.registered.replace("_", " ")
    )
    shown.add_row("digest", escape(made.version.digest or _UNKNOWN), "")
    shown.add_row("variant", logged.variant or "asked for by number", "")
    shown.add_row("unit", f"one, in cohort {logged.cohort or '-'}" if logged.has_unit else "none", "")
    shown.add_row("outcome", "none yet" if made.outcome is None else _value(made.outcome), "")
    if not logged.is_shipped:
        shown.add_row("log", "not shipped yet: read from the spool", "")
    if again is not None:
        libraries = ", ".join(f"{name} {version}" for name, version in again.libraries.items())
        shown.add_row("computed by", "", escape(f"{again.runtime}, {again.rows} row(s) at once; {libraries}"))
    return shown


def _origin_table(made: Reproduction) -> Table:
    lineage = made.lineage
    shown = table("Where it comes from", "", "")
    for name, value in _origin_rows(lineage):
        shown.add_row(name, escape(value))
    if made.rollout is not None:
        shown.add_row("rollout", escape(_rollout(made.rollout)))
    elif made.rollout_id is not None:
        shown.add_row("rollout", escape(f"{made.rollout_id}, which is no longer kept"))
    if lineage.unknown:
        shown.add_row("note", escape(lineage.unknown))
    return shown


def _origin_rows(lineage: Lineage) -> list[tuple[str, str]]:
    registered = _UNKNOWN if lineage.registered_at is None else f"{lineage.registered_at:%Y-%m-%d %H:%M:%S}"
    gates = [f"{gate['metric']} {gate['verdict'].replace('_', ' ')}" for gate in lineage.gates]
    return [
        ("data", lineage.data or _listed(lineage.data_sets)),
        ("code", _listed(lineage.code)),
        ("parameters", _listed(lineage.parameters)),
        ("libraries", ", ".join((f"python {lineage.environment.python}", *lineage.environment.libraries))),
        ("run", lineage.run_id or _UNKNOWN),
        ("registered (UTC)", registered),
        ("gates", ", ".join(gates) or "none recorded"),
    ]


def _listed(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) or _UNKNOWN


def _rollout(part: RolloutPart) -> str:
    sides = f"version {part.challenger_version} against {part.champion_version}"
    then = _UNKNOWN
    if part.state is not None and part.step is not None and part.weight is not None:
        then = f"{part.state} at step {part.step + 1}, weight {part.weight:g}"
    return f"{part.id}, {sides}, by {part.created_by}: {then} then, {part.state_now} now"


def _features_table(features: dict[str, Any]) -> Table:
    shown = table("Features", "name", "value")
    for name, value in features.items():
        shown.add_row(escape(name), _value(value))
    return shown


def _print_explanation(explanation: Explanation) -> None:
    title = f"What makes the {explanation.of} {explanation.score:.4f} instead of {explanation.base:.4f}"
    shown = table("", "feature", "value", "adds")
    shown.title = None  # which would be as narrow as the table
    for one in explanation.contributions:
        shown.add_row(escape(one.feature), _value(one.value), f"{one.contribution:+.4f}")
    how = "all subsets of features" if explanation.method == "exact" else "drawn orders of features"
    beside = "logged before it" if explanation.background == "logged" else "like those of its reference profile"
    results.print(f"\n[bold]{escape(title)}[/bold]")
    results.print(shown)
    results.print(
        f"Shapley values by {how}, beside {explanation.background_rows} rows {beside}; "
        f"{explanation.evaluations:,} rows scored, seed {explanation.seed}, off by "
        f"{explanation.additivity_error:.1g} in sum"
    )


def _label(made: Reproduction) -> str:
    return _value(made.classes[1]) if len(made.classes) == 2 else "the class"


def _value(value: Any) -> str:
    """Return a value as Python writes it: a float with all the digits that tell it from its neighbours."""
    return escape("missing" if value is None else repr(value))
