"""`fairmind variants`: servers that you have already, as versions of models."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import console, emit_json, results, table

if TYPE_CHECKING:
    from bentos.variants import Variants
    from inference.signature import Signature
    from remotes.definition import Output

app = typer.Typer(help="Servers that you have already, guarded as versions of models.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def register(root: typer.Typer) -> None:
    """Add the commands to the root command."""
    root.add_typer(app, name="variants")


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="The model of which it becomes the newest version.")],
    url: Annotated[
        str, typer.Argument(help="Where it is: http://…, https://…; for gRPC grpc://HOST:PORT, grpcs://…")
    ],
    protocol: Annotated[str, typer.Option(help="oip, oip-grpc, mlflow or kserve-v1.")] = "oip",
    remote_model: Annotated[
        str | None,
        typer.Option(
            metavar="THEIRS", help="The model's name there, NAME/VERSION for one version; left out, NAME."
        ),
    ] = None,
    signature: Annotated[
        str | None,
        typer.Option(
            metavar="REF|FILE",
            help="What it takes: that of a registered version, of a YAML or JSON file, or of an MLmodel.",
        ),
    ] = None,
    classes: Annotated[
        str | None, typer.Option(metavar="A,B", help="Its labels, as 0,1; of two the second is the positive one.")
    ] = None,
    output: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHAT[=NAME]",
            help="How an output is read: label, probabilities, probability or value, then =NAME.",
        ),
    ] = None,
    regression: Annotated[bool, typer.Option(help="Its predictions are numbers.")] = False,
    threshold: Annotated[
        float | None,
        typer.Option(metavar="T", help="The second class at this probability and above, where it gives no labels."),
    ] = None,
    timeout: Annotated[str, typer.Option(metavar="TIME", help="Longest time of a call: 2s, 500ms.")] = "2s",
    max_in_flight: Annotated[int, typer.Option(metavar="N", help="Calls that each worker makes at a time.")] = 64,
    token_env: Annotated[
        str | None,
        typer.Option(metavar="VARIABLE", help="REMOTE_TOKEN or REMOTE_TOKEN_…, with its bearer token."),
    ] = None,
    alias: Annotated[
        str | None, typer.Option(help="Promote it to champion or challenger, though no gate was measured.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Register a server as a version of a model: it is asked what it is, and tried with a made-up row."""
    from remotes.making import RemoteWish

    variants, actor = _variants()
    model, _, pinned = (remote_model or name).partition("/")
    wish = RemoteWish.model_validate(
        {
            "url": url,
            "protocol": _protocol(protocol),
            "model": None if protocol == "mlflow" else model,
            "pinned": pinned or None,
            "classes": _classes(classes),
            "outputs": [_output(text) for text in output or ()],
            "is_regression": regression,
            "threshold": threshold,
            "timeout_seconds": _seconds(timeout),
            "max_in_flight": max_in_flight,
            "token_env": token_env,
        }
    )
    taken = None if signature is None else _signature(variants, signature)
    added = variants.add(name, wish, taken, alias=alias, actor=actor, now=datetime.now(UTC)).to_dict()
    if as_json:
        emit_json(added)
        return
    version = added["remote_version"] or "none told"
    results.print(f"{added['reference']} is answered by {url} (version there: {version})", markup=False)
    for note in added["notes"]:
        console.print(f"note: {note}", markup=False)
    if alias is None:
        console.print(added["gates"], markup=False)
    else:
        results.print(f"{name}@{alias} points at it", markup=False)


@app.command("list")
def list_variants(as_json: Json = False) -> None:
    """List all remote variants; asks no server."""
    variants, _ = _variants()
    found = variants.listed()
    if as_json:
        emit_json({"variants": found})
        return
    if not found:
        results.print("no remote variants yet: add one with `fairmind variants add NAME URL`", markup=False)
        return
    shown = table("Remote variants", "aliases", "server", "protocol", "its version")
    for one in found:
        shown.add_row(
            f"{one['name']}/{one['version']}",
            ", ".join(one["aliases"]) or "-",
            one["url"],
            one["protocol"],
            one["remote_version"] or "-",
        )
    results.print(shown)


@app.command()
def check(
    reference: Annotated[str, typer.Argument(metavar="REF", help="name@alias or name/version")],
    as_json: Json = False,
) -> None:
    """Ask a remote variant's server whether it is ready and still the one that was registered; exit 1 if not."""
    from registry.reference import Reference

    variants, _ = _variants()
    found = variants.check(Reference.parse(reference))
    if as_json:
        emit_json(found)
    else:
        told = found["problem"] or f"ready; it reports {', '.join(found['reported']) or 'no version'}"
        results.print(f"{found['name']}/{found['version']} at {found['url']}: {told}", markup=False)
    if found["problem"] is not None:
        raise typer.Exit(1)


def _variants() -> tuple[Variants, str]:
    from bentos.variants import Variants
    from cli.context import open_context
    from registry.model_cache import ModelCache

    context = open_context()
    cache = ModelCache(context.home.models)
    trusted = context.settings.registry.is_trusted
    return Variants(context.registry, cache, context.control, context.wanted, trusted), context.actor


def _signature(variants: Variants, text: str) -> Signature:
    from bentos.variants import read_signature
    from registry.reference import Reference

    path = Path(text)
    return read_signature(path) if path.is_file() else variants.signature_of(Reference.parse(text))


def _protocol(text: str) -> str:
    from cli.failures import UsageError
    from remotes.definition import RemoteProtocol

    known = [str(one) for one in RemoteProtocol]
    if text not in known:
        raise UsageError(f"the protocol '{text}' is none of {', '.join(known)}")
    return text


def _classes(text: str | None) -> list[Any]:
    """Return labels, numbers and truth values as JSON writes them and everything else as text."""
    return [] if text is None else [_label(part.strip()) for part in text.split(",")]


def _label(text: str) -> Any:
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return found if isinstance(found, bool | int | float | str) else text


def _output(text: str) -> Output:
    from cli.failures import UsageError
    from remotes.definition import Output, Reading

    reading, _, name = text.partition("=")
    if reading not in {str(one) for one in Reading}:
        raise UsageError(f"--output {text}: write label, probabilities, probability or value, and =NAME after it")
    return Output(name=name or None, reading=Reading(reading))


def _seconds(text: str) -> float:
    from cli.failures import UsageError

    for suffix, factor in (("ms", 0.001), ("s", 1.0), ("", 1.0)):
        number = text.removesuffix(suffix)
        if text.endswith(suffix) and number.replace(".", "", 1).isdigit():
            return float(number) * factor
    raise UsageError(f"--timeout {text}: write seconds, as 2s or 500ms")
