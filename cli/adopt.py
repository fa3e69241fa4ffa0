"""`fairmind models adopt` and `verify`: a foreign version compiled and proven, any version proven again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from cli.output import console, emit_json, results, table

if TYPE_CHECKING:
    from bentos.adoptions import Adoptions, Table
    from compilation.parity import Proof

Ref = Annotated[str, typer.Argument(metavar="REF", help="name@alias, name/version or models:/…")]
Data = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Rows to prove it on, CSV or Parquet; else its saved input example."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def register(models: typer.Typer) -> None:
    """Add the commands to `fairmind models`."""
    models.command("adopt")(adopt)
    models.command("verify")(verify)


def adopt(
    reference: Ref,
    data: Data = None,
    local: Annotated[
        bool, typer.Option("--local", help="Keep it on this machine, leave the registry alone.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compile, prove and profile a version that was registered elsewhere; services take it up by themselves."""
    from registry.reference import Reference

    adopted = _adoptions().adopt(Reference.parse(reference), _table(data), local=local, tell=_tell)
    if as_json:
        emit_json(
            {
                "name": adopted.version.name,
                "version": adopted.version.version,
                "compiled": adopted.proof is not None,
                "reason": adopted.reason,
                "proof": None if adopted.proof is None else adopted.proof.model_dump(mode="json"),
                "copied": adopted.copied,
                "note": adopted.note,
            }
        )
        return
    if adopted.proof is None:
        results.print(f"{adopted.version} is served by its own libraries, in a process of its own", markup=False)
        results.print(f"it is not compiled: {adopted.reason}", markup=False)
        return
    _print(str(adopted.version), adopted.proof)
    where = "copied to the registry" if adopted.copied else adopted.note or "kept on this machine"
    results.print(f"compiled, proven, {where}", markup=False)


def verify(reference: Ref, data: Data = None, as_json: Json = False) -> None:
    """Prove again that the compiled form of a version answers as its model does; exit 1 when it does not."""
    from registry.reference import Reference

    version, proof = _adoptions().verify(Reference.parse(reference), _table(data), tell=_tell)
    if as_json:
        shown = proof.model_dump(mode="json")
        emit_json({"name": version.name, "version": version.version, "proof": shown})
        return
    _print(str(version), proof)


def _adoptions() -> Adoptions:
    from bentos.adoptions import Adoptions
    from bentos.stores import open_preparer
    from cli.context import open_context

    context = open_context()
    return Adoptions(context.home, context.registry, open_preparer(context.settings, context.home))


def _table(data: Path | None) -> Table | None:
    if data is None:
        return None
    from bentos.adoptions import Table
    from sources.tables import read_table

    return Table(read_table(data), data.name)


def _tell(text: str) -> None:
    console.print(text, markup=False)


def _print(version: str, proof: Proof) -> None:
    shown = table(escape(version), "", "")
    compared = f"{proof.rows:,} rows and {proof.adversarial_rows:,} made to be difficult"
    shown.add_row("proof", f"equal to {proof.largest_difference:.1g} on {compared}")
    costs: dict[int, Any] = proof.microseconds_per_row
    shown.add_row(
        "µs per row", ", ".join(f"{cost:.3g} at {rows:,}" for rows, cost in costs.items()) + " rows a call"
    )
    if proof.chosen:
        shown.add_row("compiled by", ", ".join(proof.chosen))
    results.print(shown)
