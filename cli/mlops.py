"""`fairmind mlops`: where test results are logged, and logging one by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from cli.failures import FAILED, UsageError
from cli.output import console, emit_json, results, table

if TYPE_CHECKING:
    from cli.context import Context
    from tracking.record import BiasTestRecord

app = typer.Typer(help="Test results in MLflow and Weights & Biases.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def register(root: typer.Typer) -> None:
    """Add the commands to the root command."""
    root.add_typer(app, name="mlops")


@app.command()
def status(as_json: Json = False) -> None:
    """Show which providers are enabled, what they are set to, and what waits for them."""
    from cli.context import open_context

    context = open_context()
    told = context.mlops.get_status()
    delivery = context.tracker.status()
    if as_json:
        answer = {"success": True, "status": told, "enabled": context.mlops.is_enabled()}
        emit_json({**answer, "delivery": delivery})
        return
    shown = table(f"MLOPS_PROVIDER={told['provider']}", "provider", "enabled", "settings", "waiting", "problem")
    for name in ("wandb", "mlflow"):
        settings = ", ".join(
            f"{key}={value}" for key, value in told[name].items() if key != "enabled" and value is not None
        )
        waits = delivery.get(name, {"waiting": 0, "problem": None})
        shown.add_row(
            name,
            "yes" if told[name]["enabled"] else "no",
            escape(settings),
            str(waits["waiting"]),
            escape(waits["problem"] or "-"),
        )
    results.print(shown)


@app.command("log-test")
def log_test(file: Annotated[Path, typer.Argument(metavar="FILE.json")], as_json: Json = False) -> None:
    """Log the test in a file as the API does; exit 1 where a provider does not have it yet."""
    from cli.context import open_context
    from tracking.errors import TrackingDisabledError

    context = open_context()
    record = _record(file)
    if not context.mlops.is_enabled():
        raise TrackingDisabledError
    told = send(context, record)
    if as_json:
        emit_json({"success": True, "logging_status": told})
    else:
        for line in said(told):
            results.print(line, markup=False, soft_wrap=True)
    if not all(outcome["success"] for outcome in told.values() if outcome["enabled"]):
        console.print("`fairmind mlops status` shows what waits; docs/tracking.md says what to do")
        raise typer.Exit(FAILED)


def send(context: Context, record: BiasTestRecord) -> dict[str, Any]:
    """Log a record, wait for it as long as the settings say, and return what became of it at each provider."""
    import asyncio

    context.tracker.start()  # where a server runs on this home, it delivers, and this waits for it
    try:
        return asyncio.run(context.mlops.log(record))
    finally:
        context.tracker.stop()


def said(told: dict[str, Any]) -> list[str]:
    """Return a line for each provider that is enabled: where the run is, or why it is not there yet."""
    lines = []
    for name, outcome in told.items():
        if outcome["enabled"] and outcome["success"]:
            lines.append(f"{name}: run {outcome['run_id']}, {outcome['url'] or 'it has no address in a browser'}")
        elif outcome["enabled"]:
            lines.append(f"{name}: {outcome['error']}")
    return lines


def _record(file: Path) -> BiasTestRecord:
    """Return the record in a file: what `POST /api/v1/mlops/log-test` takes, or a record as it is kept."""
    from pydantic import ValidationError

    from tracking.record import BiasTestRecord

    try:
        content = json.loads(file.read_bytes())  # with its NaN, which a record that was kept may hold
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise UsageError(f"{file} is not JSON") from None
    if not isinstance(content, dict):
        raise UsageError(f"{file} holds no object; docs/tracking.md shows one")
    missing = [name for name in ("model_id", "test_type", "results") if name not in content]
    if "id" not in content and "test_id" not in content:
        missing.insert(0, "test_id")
    if missing:
        raise UsageError(f"{file} lacks {', '.join(missing)}; docs/tracking.md shows a test")
    try:
        if "id" in content:
            return BiasTestRecord.model_validate(content)
        return BiasTestRecord.of(
            content["test_id"],
            content["model_id"],
            content["test_type"],
            content["results"],
            content.get("metadata"),
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise UsageError(f"{file}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except ValueError as error:
        raise UsageError(f"{file}: {error}") from None
