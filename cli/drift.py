"""`fairmind drift`: how traffic, or a table of one's own, differs from what a version learned from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.failures import UsageError
from cli.output import emit_json, results, table

if TYPE_CHECKING:
    from cli.context import Context
    from monitoring.drift_report import ColumnDrift, DriftAnswer, DriftReport, Refused
    from monitoring.estimation import Estimate
    from registry.versions import ModelVersion

_COLOURS = {"drift": "red", "no_drift": "green", "insufficient_evidence": "yellow"}


def register(root: typer.Typer) -> None:
    """Add the command to the root command."""
    root.command("drift")(drift)


def drift(
    model: Annotated[str, typer.Option(metavar="REF", help="name@alias, name/version or models:/…")],
    data: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV or Parquet with features; live traffic if left out.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(metavar="COL", help="Column of the true label in FILE, where it is known.")
    ] = None,
    hours: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Length of the window of traffic, up to now.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Compare live traffic or a table with what a version learned from, feature by feature."""
    from cli.context import open_context
    from registry.reference import Reference

    if label is not None and data is None:
        raise UsageError("--label names a column of a table: give --data FILE too")
    if hours is not None and data is not None:
        raise UsageError("--hours is of live traffic: leave it or --data out")
    context = open_context()
    version = context.registry.find(Reference.parse(model))
    answer = _traffic(context, version, hours) if data is None else _file(context, version, data, label)
    if as_json:
        emit_json(answer.model_dump(mode="json"))
    else:
        _show(answer)


def _traffic(context: Context, version: ModelVersion, hours: int | None) -> DriftAnswer:
    from monitoring.drift_traffic import traffic_drift

    policy, now = context.settings.drift, datetime.now(UTC)
    since = now - timedelta(hours=hours or policy.window_hours)
    return traffic_drift(context.log, version.name, version.version, since=since, until=now, policy=policy)


def _file(context: Context, version: ModelVersion, data: Path, label: str | None) -> DriftAnswer:
    from monitoring.errors import NoProfileError
    from monitoring.profile import ReferenceProfile
    from monitoring.table_drift import table_drift
    from registry.model_cache import ModelCache
    from sources.file import FileSource

    folder = ModelCache(context.home.models).fetch(context.registry, version) / "fairmind"
    profile = ReferenceProfile.load(folder)
    if profile is None:
        raise NoProfileError(str(version))
    frame = FileSource(path=data).read(context.home.data)
    if label is not None and label not in frame.columns:
        raise UsageError(f"{data} has no column '{label}'; --label names one of its columns")
    return table_drift(
        profile,
        frame,
        folder,
        label=label,
        policy=context.settings.drift,
        named=(version.name, version.version),
        now=datetime.now(UTC),
    )


def _show(answer: DriftAnswer) -> None:
    for note in answer.notes:
        results.print(f"[yellow]note:[/yellow] {note}", highlight=False)
    if answer.refused is not None and answer.refused.requests:
        results.print(_refused(answer.refused), highlight=False)
    for title, found in (
        ("Beside what it learned from", answer.against_profile),
        ("Beside the window before", answer.against_previous),
    ):
        if found is not None:
            results.print(_table(f"{title}: {answer.model}/{answer.model_version}", found))
            drifted = ", ".join(found.drifted()) or "nothing"
            results.print(f"verdict: {_coloured(found.verdict.value)} ({drifted} drifted)\n")
    if answer.performance is not None:
        results.print(_performance(answer.performance))
    elif answer.rows:
        results.print(answer.performance_reason)


def _refused(found: Refused) -> str:
    codes = ", ".join(f"{code} {requests:,}" for code, requests in found.codes.items())
    return f"refused by the signature: {found.requests:,} request{'s' * (found.requests != 1)} ({codes})"


def _table(title: str, found: DriftReport) -> Any:
    shown = table(
        title, "column", "verdict", "PSI", "JS distance", "test", "p, adjusted", "missing", "what changed"
    )
    others = [one for one in (found.prediction, found.scores, found.outcome) if one is not None]
    ordered = sorted(found.features, key=lambda one: -(one.shape.psi or 0.0))
    for one in [*ordered, *others]:
        shown.add_row(*_cells(one))
    return shown


def _cells(one: ColumnDrift) -> tuple[str, ...]:
    shape = one.shape
    test = "KS" if shape.test == "kolmogorov_smirnov" else "χ²"
    return (
        one.name,
        _coloured(one.verdict.value),
        _number(shape.psi, "{:.4f}"),
        _number(shape.jensen_shannon_distance, "{:.4f}"),
        f"{test} {_number(shape.statistic, '{:.3g}')}",
        _number(shape.p_adjusted, "{:.2g}"),
        "" if one.missing is None else _number(one.missing.rate, "{:.1%}"),
        ", ".join(one.found) or shape.reason,
    )


def _performance(found: Estimate) -> Any:
    shown = table("Performance that calibrated scores promise", "metric", "estimate", "95 % interval", "came true")
    for one in found.metrics:
        realised = _number(one.realised, "{:.4f}")
        shown.add_row(one.metric, f"{one.value:.4f}", f"{one.lower:.4f} to {one.upper:.4f}", realised)
    return shown


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _coloured(verdict: str) -> str:
    return f"[{_COLOURS[verdict]}]{verdict}[/{_COLOURS[verdict]}]"
