"""`fairmind replay`, `fairmind replays`: a version on logged traffic, beside the one that served."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from cli.failures import REFUSED, UsageError
from cli.output import console, emit_json, results, table

if TYPE_CHECKING:
    from cli.context import Context
    from replay.result import ReplayResult
    from replay.store import Asked

replays = typer.Typer(help="What versions would have decided on logged traffic.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Id = Annotated[str, typer.Argument(metavar="ID")]
Page = Annotated[Path | None, typer.Option("--report", metavar="FILE.html", help="Write it as a page.")]
_SHOWN = 10


def register(root: typer.Typer) -> None:
    """Add the commands to the root command."""
    root.command()(replay)
    root.add_typer(replays, name="replays")


def replay(
    model: Annotated[str, typer.Option(metavar="REF", help="The challenger: name@alias, name/version, models:/…")],
    against: Annotated[
        str, typer.Option(metavar="REF", help="A version of the same model, by number or alias.")
    ] = "champion",
    window: Annotated[str, typer.Option(metavar="TIME", help="How far back: 30d, 12h.")] = "30d",
    plan: Annotated[
        Path | None, typer.Option(metavar="PLAN.yaml", help="Judge by the guardrails of a rollout plan.")
    ] = None,
    label_maturity: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long outcomes had to come; 7d, or the plan's.")
    ] = None,
    report: Page = None,
    as_json: Json = False,
) -> None:
    """Replay a version on logged traffic; exit 3 where it would have harmed."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from bentos.replays import Replays
    from bentos.stores import open_features
    from cli.context import open_context
    from replay.report_html import html
    from rollout.guardrail import Verdict

    context, now = open_context(), datetime.now(UTC)
    features = open_features(context.settings, context.home)
    deployment = Replays(context.home, context.log, features, context.registry)
    request = _request(model, against, window, plan, label_maturity)
    asked = deployment.ask(request, actor=context.actor, now=now)
    columns = (TextColumn("  rows"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("rows", total=None)
        found = deployment.run(
            asked, now=now, told=lambda done, total: bar.update(task, completed=done, total=total)
        )
    _keep(context, asked, found)
    if report is not None:
        report.write_text(html(found), encoding="utf-8")
    if as_json:
        emit_json(found.model_dump(mode="json"))
    else:
        _show(found)
    if found.verdict is Verdict.VIOLATED:
        raise typer.Exit(REFUSED)


@replays.command("list")
def list_replays(
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Of one model.")] = None, as_json: Json = False
) -> None:
    """List replays, newest first."""
    from cli.context import open_context
    from replay.store import listed

    found = listed(open_context().control, model=model)
    if as_json:
        emit_json({"replays": [one.to_dict() for one in found]})
        return
    if not found:
        results.print("no replays yet: `fairmind replay --model REF` makes one")
        return
    shown = table("Replays", "id", "model", "challenger", "against", "state", "verdict", "rows", "made (UTC)")
    for one in found:
        shown.add_row(
            one.id,
            escape(one.model),
            one.challenger_version,
            one.against_version,
            one.state,
            (one.verdict or "-").replace("_", " "),
            "-" if one.rows is None else f"{one.rows:,}",
            f"{one.created_at:%Y-%m-%d %H:%M}",
        )
    results.print(shown)


@replays.command()
def show(replay_id: Id, report: Page = None, as_json: Json = False) -> None:
    """Show what a replay found."""
    from cli.context import open_context
    from replay.report_html import html
    from replay.store import result_of

    found = result_of(open_context().control, replay_id)
    if report is not None:
        report.write_text(html(found), encoding="utf-8")
    if as_json:
        emit_json(found.model_dump(mode="json"))
    else:
        _show(found)


def _request(model: str, against: str, window: str, plan: Path | None, label_maturity: str | None) -> Any:
    from pydantic import ValidationError

    from registry.reference import Reference
    from replay.request import ReplayRequest
    from rollout.plan import Plan

    reference = Reference.parse(model)
    beside = Reference.parse(against) if set(against) & set("@/") else None
    if beside is not None and beside.name != reference.name:
        raise UsageError(f"--against {against}: a replay compares versions of one model, '{reference.name}'")
    try:
        return ReplayRequest(
            model=reference.name,
            version=reference.version,
            alias=reference.alias,
            against=against if beside is None else beside.version or beside.alias or "",
            window=window,
            label_maturity=label_maturity,
            plan=None if plan is None else Plan.load(plan).model_dump(mode="json"),
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise UsageError(f"--{str(first['loc'][0]).replace('_', '-')}: {first['msg']}") from None


def _keep(context: Context, asked: Asked, found: ReplayResult) -> None:
    from replay.attached import attach
    from replay.store import keep
    from rollout.outbox import deliver

    now = datetime.now(UTC)
    with context.control.begin() as connection:
        keep(connection, asked, found, now)
        attach(connection, found, now)
    if deliver(context.control, context.registry, now):
        console.print("[yellow]kept here:[/yellow] the registry does not take it now, it is sent later")


def _show(found: ReplayResult) -> None:
    from replay.report_html import TOLD, facts
    from rollout.pages import MARKS, number

    results.print(
        f"[bold]replay {found.id}: {found.verdict.replace('_', ' ')}[/bold] · {escape(found.model)}, version "
        f"{found.challenger.version} beside version {found.against.version}. {TOLD[found.verdict]}",
        soft_wrap=True,
    )
    for name, value in facts(found):
        results.print(f"  {name.lower()}: {escape(value)}", soft_wrap=True)
    shown = table("Verdicts", "guardrail", "verdict", "harm", "interval", "margin", "rows", "why")
    for one in found.judged():
        shown.add_row(
            escape(one.guardrail),
            MARKS[one.verdict],
            number(one.estimate),
            f"{number(one.lower, '-∞')} to {number(one.upper, '∞')}",
            f"{one.margin:g}",
            f"{one.n:,}",
            escape(one.reason or ""),
        )
    for name, reason in found.left_out.items():
        shown.add_row(escape(name), "not judged", "", "", "", "", escape(reason))
    results.print(shown)
    _show_changes(found)
    for note in found.notes:
        results.print(f"[dim]{escape(note)}[/dim]", soft_wrap=True)


def _show_changes(found: ReplayResult) -> None:
    from rollout.pages import SMALLEST_CELL

    changed = [one for one in found.changed_decisions if one.of >= SMALLEST_CELL]
    shown = table("Decisions that would change", "group", "from", "to", "rows", "share")
    for one in changed:
        group = f"{one.attribute} = {one.group}" if one.attribute else "all"
        share = f"{one.rows / one.of:.2%} of {one.of:,}"
        shown.add_row(escape(group), escape(str(one.before)), escape(str(one.after)), f"{one.rows:,}", share)
    if not changed:
        results.print(
            "no decision would change"
            if not found.changed_decisions
            else "the groups whose decisions change are small"
        )
        return
    results.print(shown)
    if found.changes:
        shown = table("Largest changes of the score", "prediction", "from", "to", "score", "becomes")
        for change in found.changes[:_SHOWN]:
            labels = (escape(str(label)) for label in (change.before, change.after))
            shown.add_row(change.prediction_id, *labels, f"{change.score_before:.4f}", f"{change.score_after:.4f}")
        results.print(shown)
