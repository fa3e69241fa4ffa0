"""`fairmind rollout`: the traffic split, started, changed and ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from cli import rollout_controller, rollout_overrides, rollout_plans
from cli.failures import UsageError
from cli.output import emit_json, results, table

if TYPE_CHECKING:
    from rollout.rollouts import Rollout

app = typer.Typer(help="Split traffic between the champion and a challenger.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Id = Annotated[str, typer.Argument(metavar="ID")]
Why = Annotated[str | None, typer.Option(help="Why; kept with the rollout.")]


def register(root: typer.Typer) -> None:
    """Add the commands to the root command."""
    rollout_controller.register(app)
    rollout_overrides.register(app)
    rollout_plans.register(app)
    root.add_typer(app, name="rollout")


@app.command()
def start(
    plan: Annotated[Path, typer.Argument(metavar="PLAN.yaml")],
    override: Annotated[str | None, typer.Option(help="Why, although a gate refuses; recorded.")] = None,
    as_json: Json = False,
) -> None:
    """Start a rollout: units are assigned anew, and the challenger gets what the plan's first step says."""
    from bentos.promotions import recent_units, start_rollout
    from cli.context import open_context
    from rollout.plan import Plan
    from rollout.plan_check import check_power

    context, now, loaded = open_context(), datetime.now(UTC), Plan.load(plan)
    if override is None:
        check_power(context.log, loaded, now)
    traffic = recent_units(context.log, loaded.model, now)
    started = start_rollout(
        context.control,
        context.registry,
        loaded,
        context.wanted,
        override=override,
        actor=context.actor,
        now=now,
        traffic=traffic,
    )
    if as_json:
        emit_json(started.to_dict() | ({} if loaded.is_manual else {"traffic": asdict(traffic)}))
        return
    _show([started], as_json)
    share = "nothing was asked of it" if traffic.share is None else f"{traffic.share:.1%} of {traffic.rows:,} rows"
    results.print(f"Traffic of the last day that carries a unit: {share}.")
    if started.state == "pending":
        when = "" if loaded.start_at is None else f" at {loaded.start_at.isoformat()}, or later,"
        results.print(
            f"It begins{when} when its challenger is loaded and the service, or a controller, takes it up."
        )


@app.command("list")
def list_rollouts(as_json: Json = False) -> None:
    """List all rollouts, newest first."""
    from cli.context import open_context
    from rollout.rollouts import rollouts

    found = rollouts(open_context().control)
    if as_json:
        emit_json({"rollouts": [rollout.to_dict() for rollout in found]})
    elif found:
        _show(found, as_json=False)
    else:
        results.print("no rollouts yet: start one with `fairmind rollout start PLAN.yaml`")


@app.command()
def status(rollout_id: Id, as_json: Json = False) -> None:
    """Show one rollout, with what was done to it, when and by whom."""
    from cli.context import open_context
    from cli.rollout_tables import evaluation_table
    from rollout.history import history
    from rollout.rollout_views import told
    from rollout.rollouts import find

    control = open_context().control
    shown_as_json = told(control, rollout_id)
    if as_json:
        emit_json(shown_as_json)
        return
    _show([find(control, rollout_id)], as_json=False)
    if len(shown_as_json["shares"]) > 2:
        shares = ", ".join(f"{one['variant']} {one['share']:.2%}" for one in shown_as_json["shares"])
        results.print(f"Shares of the units: {shares}.")
    if shown_as_json["promotion"] is not None:
        results.print(f"[yellow]Waits for the registry:[/yellow] {escape(shown_as_json['promotion']['told'])}.")
    if shown_as_json["evaluation"] is not None:
        results.print(evaluation_table(shown_as_json["evaluation"]))
    events = history(control, rollout_id)
    shown = table("History", "at", "action", "by", "weight", "reason")
    for event in events:
        shown.add_row(
            f"{event.at:%Y-%m-%d %H:%M:%S}",
            event.action.replace("_", " "),
            escape(event.actor),
            f"{event.weight:.2%}",
            escape(event.reason or "-"),
        )
    results.print(shown)


@app.command()
def weight(
    rollout_id: Id,
    weight: Annotated[str, typer.Argument(metavar="W", help="0 to 0.5; of several challengers one each: 0.1,0.2")],
    as_json: Json = False,
) -> None:
    """Give the challenger another share of the units; all workers follow within a second."""
    from cli.context import open_context
    from rollout.weight_changes import set_weights

    try:
        weights = [float(part) for part in weight.split(",")]
    except ValueError:
        raise UsageError(
            f"'{weight}' is no weight: a fraction such as 0.2, or one for each challenger: 0.1,0.2"
        ) from None
    context = open_context()
    changed = set_weights(context.control, rollout_id, weights, actor=context.actor, now=datetime.now(UTC))
    _show([changed], as_json)


@app.command()
def pause(rollout_id: Id, reason: Why = None, as_json: Json = False) -> None:
    """Hold a rollout; what is served stays as it is."""
    from cli.context import open_context
    from rollout.rollouts import pause as pause_rollout

    context, now = open_context(), datetime.now(UTC)
    _show([pause_rollout(context.control, rollout_id, reason=reason, actor=context.actor, now=now)], as_json)


@app.command()
def resume(rollout_id: Id, reason: Why = None, as_json: Json = False) -> None:
    """Let a paused rollout go on, in spite of what it was held for."""
    from cli.context import open_context
    from rollout.rollouts import resume as resume_rollout

    context, now = open_context(), datetime.now(UTC)
    _show([resume_rollout(context.control, rollout_id, reason=reason, actor=context.actor, now=now)], as_json)


@app.command()
def approve(rollout_id: Id, reason: Why = None, as_json: Json = False) -> None:
    """Approve the step that a rollout awaits; with a reason where its guardrails have not shown enough."""
    from cli.context import open_context
    from rollout.approvals import approve as approve_rollout

    context, now = open_context(), datetime.now(UTC)
    _show([approve_rollout(context.control, rollout_id, reason=reason, actor=context.actor, now=now)], as_json)


@app.command()
def abort(rollout_id: Id, reason: Why = None, as_json: Json = False) -> None:
    """End a rollout; the champion serves every unit again."""
    from cli.context import open_context
    from rollout.rollouts import abort as abort_rollout

    context, now = open_context(), datetime.now(UTC)
    _show([abort_rollout(context.control, rollout_id, reason=reason, actor=context.actor, now=now)], as_json)


@app.command()
def promote(
    rollout_id: Id,
    override: Annotated[
        str | None, typer.Option(help="Why, although a gate refuses or a guardrail has not passed; recorded.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make the challenger the champion, if its gates allow and its guardrails have passed."""
    from bentos.promotions import promote_rollout
    from cli.context import open_context

    context = open_context()
    finished = promote_rollout(
        context.control,
        context.registry,
        rollout_id,
        override=override,
        actor=context.actor,
        now=datetime.now(UTC),
    )
    _show([finished], as_json)


@app.command("verify-log")
def verify_log(
    rollout_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="All of them without.")] = None,
    as_json: Json = False,
) -> None:
    """Check the log of decisions: its chain, what it rests on, and its head on record in the registry."""
    from cli.context import open_context
    from cli.rollout_tables import verified_table
    from rollout.verify import verify_log as verify

    context = open_context()
    found = verify(context.control, context.registry, rollout_id)
    if as_json:
        emit_json({"rollouts": [one.to_dict() for one in found]})
    elif found:
        results.print(verified_table(found))
    else:
        results.print("no rollouts yet: there is nothing to check")
    if any(one.problem for one in found):
        raise typer.Exit(1)


def _show(rollouts: Sequence[Rollout], as_json: bool) -> None:
    if as_json:
        emit_json(rollouts[0].to_dict())
        return
    shown = table("Rollouts", "id", "model", "state", "champion", "challenger", "weight", "reason")
    for rollout in rollouts:
        shown.add_row(
            rollout.id,
            escape(rollout.model),
            rollout.state,
            rollout.champion_version,
            rollout.challenger_version,
            f"{rollout.weight:.2%}",
            escape(rollout.reason or "-"),
        )
    results.print(shown)
