"""`fairmind models`: list, show, promote, roll back; what makes versions is in files of its own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from cli import adopt, set_threshold
from cli.output import console, emit_json, results, table

if TYPE_CHECKING:
    from compilation.parity import Proof
    from registry.gate_record import GateResult
    from registry.versions import ModelVersion

app = typer.Typer(help="Model versions and the aliases that point at them.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Ref = Annotated[str, typer.Argument(metavar="REF", help="name@alias, name/version or models:/…")]


def register(root: typer.Typer) -> None:
    """Add the commands to the root command."""
    adopt.register(app)
    set_threshold.register(app)
    root.add_typer(app, name="models")


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """List all registered models, their versions, and what serves."""
    from bentos.model_views import models_view
    from cli.context import open_context

    context = open_context()
    models = models_view(context.registry, context.control)
    if as_json:
        emit_json({"models": models})
        return
    if not models:
        results.print("no models yet: train one with `fairmind train CONFIG.yaml` or `fairmind demo`")
        return
    shown = table("Models", "version", "aliases", "gates", "created (UTC)", "traffic")
    for model in models:
        serving = model["serving"] or {}
        for version in model["versions"]:
            shown.add_row(
                escape(f"{model['name']}/{version['version']}"),
                ", ".join(version["aliases"]) or "-",
                _gate_summary(version["gates"]),
                version["created_at"][:16].replace("T", " "),
                _traffic(serving, version["version"]),
            )
    results.print(shown)


@app.command()
def show(reference: Ref, as_json: Json = False) -> None:
    """Show one version: where it comes from, what its gates said, what it was proven equal to."""
    from bentos.model_views import version_view
    from cli.context import open_context
    from compilation.parity import Proof
    from inference.errors import RuntimeLoadError
    from registry.model_cache import ModelCache
    from registry.reference import Reference

    context = open_context()
    found = context.registry.find(Reference.parse(reference))
    version = version_view(found)
    try:
        proof = Proof.load(ModelCache(context.home.models).fetch(context.registry, found) / "fairmind")
    except RuntimeLoadError:  # not one of ours: nobody compiled it, nobody proved anything
        proof = None
    if as_json:
        emit_json(version | {"proof": None if proof is None else proof.model_dump(mode="json")})
        return
    shown = table(escape(f"{version['name']}/{version['version']}"), "", "")
    for key in ("aliases", "created_at", "run_id", "digest"):
        value = version[key]
        shown.add_row(key, ", ".join(value) if isinstance(value, list) else str(value))
    for key, value in sorted(version["tags"].items()):
        shown.add_row(escape(key), escape(value))
    if proof is not None:
        compared = f"{proof.rows:,} rows and {proof.adversarial_rows:,} made to be difficult"
        costs = ", ".join(f"{cost:.3g} µs at {rows:,}" for rows, cost in proof.microseconds_per_row.items())
        shown.add_row("proof", f"equal to {proof.largest_difference:.1g} on {compared}")
        shown.add_row("cost per row", f"{costs} rows a call")
    results.print(shown)
    if proof is not None and proof.candidates:
        print_candidates(proof)
    print_gates(version["gates"])


@app.command()
def promote(
    reference: Ref,
    alias: Annotated[str, typer.Option(help="The alias to move: champion or challenger.")] = "champion",
    override: Annotated[
        str | None, typer.Option(help="Why it is moved although a gate refuses; recorded with who and when.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Point an alias at a version, if its gates allow; what is served follows at once."""
    from bentos.promotions import promote_version
    from cli.context import open_context
    from registry.reference import Reference
    from rollout.replay_gate import ReplayGate

    context = open_context()
    promotion = promote_version(
        context.control,
        context.registry,
        Reference.parse(reference),
        alias=alias,
        override=override,
        actor=context.actor,
        now=datetime.now(UTC),
        wanted=context.wanted,
        replay=ReplayGate() if context.settings.registry.promotion_requires == "replay" else None,
    )
    previous = promotion.previous_version
    undecided = _undecided(promotion.version)
    if as_json:
        emit_json(
            {
                "name": promotion.version.name,
                "version": promotion.version.version,
                "alias": alias,
                "previous_version": previous.version if previous else None,
                "overridden": promotion.overridden,
                "undecided": [gate.model_dump(mode="json") for gate in undecided],
            }
        )
        return
    if promotion.overridden:
        console.print("[yellow]a gate refused; your override is recorded on the version[/yellow]")
    for gate in undecided:
        console.print(f"[yellow]not decided:[/yellow] {escape(gate.describe())}")
    before = f", was version {previous.version}" if previous else ""
    results.print(f"{promotion.version.name}@{alias} is version {promotion.version.version}{before}", markup=False)


@app.command()
def rollback(name: Annotated[str, typer.Argument(metavar="NAME")], as_json: Json = False) -> None:
    """Put the previous champion back."""
    from bentos.promotions import roll_back
    from cli.context import open_context

    context = open_context()
    promotion = roll_back(
        context.control,
        context.registry,
        name,
        actor=context.actor,
        now=datetime.now(UTC),
        wanted=context.wanted,
    )
    if as_json:
        emit_json({"name": name, "version": promotion.version.version})
        return
    results.print(f"{name}@champion is version {promotion.version.version} again", markup=False)


def _undecided(version: ModelVersion) -> tuple[GateResult, ...]:
    """Return the gates of a promoted version for which evidence lacked."""
    from registry.errors import GateRecordError
    from registry.gate_record import GateRecord

    try:
        record = GateRecord.from_version(version)
    except GateRecordError:  # promoted all the same, by an override
        return ()
    return () if record is None else record.undecided()


def print_candidates(proof: Proof) -> None:
    """Print what could have served a version and what it costs, which of it serves which rows, why the rest not."""
    sizes = sorted({rows for result in proof.candidates for rows in result.microseconds_per_row})
    costs = [f"µs/row at {rows:,}" for rows in sizes]
    shown = table("Candidates", "candidate", "serves", "verdict", "difference", *costs)
    for result in proof.candidates:
        taken = [result.microseconds_per_row.get(rows) for rows in sizes]
        difference = result.largest_difference
        shown.add_row(
            result.name,
            _serves(proof, result.name),
            result.verdict.value.replace("_", " "),
            "-" if difference is None else f"{difference:.1g}",
            *("-" if cost is None else f"{cost:,.3g}" for cost in taken),
        )
    results.print(shown)
    for result in proof.candidates:
        if result.reason:
            results.print(escape(f"{result.name}: {result.reason}"))


def _serves(proof: Proof, name: str) -> str:
    if name not in proof.chosen:
        return ""
    if proof.crossover_rows is None:
        return "all rows"
    first = name == proof.chosen[0]
    return f"below {proof.crossover_rows:,} rows" if first else f"from {proof.crossover_rows:,} rows"


def print_gates(gates: Any) -> None:
    """Print what a version's gates said, refusing ones first."""
    if not isinstance(gates, list):
        results.print("no record of gates" if gates is None else f"gates: {gates['error']}")
        return
    shown = table("Gates", "gate", "on", "value", "limit", "verdict", "gates")
    for gate in sorted(gates, key=lambda gate: (gate["verdict"] == "pass", not gate["gating"])):
        shown.add_row(
            gate["metric"],
            escape(gate["attribute"] or "-"),
            "-" if gate["value"] is None else f"{gate['value']:.4f}",
            f"{gate['limit']:g}",
            _coloured(gate["verdict"]),
            "yes" if gate["gating"] else "reported only",
        )
    results.print(shown)


def _coloured(verdict: str) -> str:
    colour = {"pass": "green", "fail": "red"}.get(verdict, "yellow")
    return f"[{colour}]{verdict}[/{colour}]"


def _gate_summary(gates: Any) -> str:
    if not isinstance(gates, list):
        return "no record"
    gating = [gate for gate in gates if gate["gating"]]
    if not gating:
        return "none gate"
    passed = sum(gate["verdict"] == "pass" for gate in gating)
    return f"{passed} of {len(gating)} pass"


def _traffic(serving: dict[str, Any], version: str) -> str:
    if version == serving.get("champion"):
        return f"{1 - serving['weight']:.0%}"
    if version == serving.get("challenger"):
        return f"{serving['weight']:.0%}"
    return "-"
