"""`fairmind train`: from a configuration, or from a bare table, to measured, gated and registered versions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.failures import UsageError
from cli.output import console, emit_json, results, table
from training.mitigation import Constraint, Method

if TYPE_CHECKING:
    from training.config import TrainingConfig
    from training.job import Progress
    from training.trained_version import TrainedVersion


def register(root: typer.Typer) -> None:
    """Add the command to the root command."""
    root.command()(train)


def train(
    config: Annotated[Path | None, typer.Argument(metavar="CONFIG.yaml", help="What to train on what.")] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A CSV or Parquet file, in place of a config.")
    ] = None,
    target: Annotated[str | None, typer.Option(metavar="COL", help="The column of --data to predict.")] = None,
    protected: Annotated[
        str | None, typer.Option(metavar="A,B", help="Columns of --data to measure fairness by; no features.")
    ] = None,
    favourable: Annotated[
        str | None, typer.Option(metavar="V", help="The label that is good for the person; asked of --data.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the model; the file's name unless given.")] = None,
    mitigate: Annotated[
        Method | None,
        typer.Option(metavar="METHOD", help=f"Make a mitigated version beside each: {', '.join(Method)}."),
    ] = None,
    attribute: Annotated[
        str | None,
        typer.Option(metavar="A", help="The protected attribute to mitigate for; asked where there are several."),
    ] = None,
    constraint: Annotated[
        Constraint | None,
        typer.Option(metavar="WHAT", help=f"What is to be the same in every group: {', '.join(Constraint)}."),
    ] = None,
    protected_as_features: Annotated[
        bool, typer.Option("--protected-as-features", help="Learn from the protected attributes of --data as well.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Train, measure and register one version per estimator; `fairmind models promote` is what promotes one."""
    mitigation = _mitigation(mitigate, attribute, constraint)
    wanted = _configuration(config, data, target, protected, favourable, name, mitigation, protected_as_features)
    from cli.context import open_context
    from training.train import train as train_versions

    context = open_context()
    with progress_bar(f"training {wanted.name}") as tell:
        versions = train_versions(wanted, store=context.tracking, data_folder=context.home.data, progress=tell)
    if as_json:
        emit_json({"versions": [version.as_json() for version in versions]})
    else:
        print_versions(versions)


@contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """Show a bar with what is being done while the body runs; a plain line per step where there is no terminal."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    if not console.is_terminal:
        yield lambda what, _fraction: console.print(f"{title}: {what}", markup=False)
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=1.0)
        yield lambda what, fraction: bar.update(task, description=f"{title}: {what}", completed=fraction)


def print_versions(versions: list[TrainedVersion]) -> None:
    """Print what was trained: quality, then gates, then what was assumed and what to do next."""
    from rich.markup import escape

    from cli.mitigation import print_change
    from cli.models import print_gates

    names = list(dict.fromkeys(metric for version in versions for metric in version.metrics))
    quality = [metric for metric in names if "." not in metric]
    disparities = [metric for metric in names if "." in metric]
    shown = table("Trained", "version", "estimator", *quality, "seconds")
    for version in versions:
        numbers = [f"{version.metrics[metric]:.4f}" for metric in quality]
        shown.add_row(str(version.reference), version.estimator, *numbers, f"{version.seconds:.1f}")
    results.print(shown)
    if disparities:
        results.print()
        compared = table("Between groups, on held-out rows", "", *(str(version.reference) for version in versions))
        for metric in disparities:
            values = [version.metrics.get(metric) for version in versions]
            compared.add_row(escape(metric), *("-" if value is None else f"{value:.4f}" for value in values))
        results.print(compared)
    for version in versions:
        if version.mitigation is not None:
            print_change(version.mitigation)
    for version in versions:
        if version.gates.results:
            results.print(f"\n{version.reference} ({version.estimator})", markup=False)
            print_gates([result.model_dump(mode="json") for result in version.gates.results])
    for note in dict.fromkeys(note for version in versions for note in version.notes):
        console.print(f"[yellow]note:[/yellow] {escape(note)}")
    for version in versions:
        for result in version.gates.refusing():
            console.print(f"[red]{version.reference} would be refused:[/red] {escape(result.describe())}")
    allowed = [version for version in versions if not version.gates.refusing()]
    if allowed:
        results.print(f"next: fairmind models promote {allowed[0].reference}", markup=False)


def _mitigation(
    method: Method | None, attribute: str | None, constraint: Constraint | None
) -> dict[str, str] | None:
    """Return what the options say, to be checked with the configuration that they become a part of."""
    if method is None:
        if attribute or constraint:
            raise UsageError("--attribute and --constraint go with --mitigate")
        return None
    given = {"method": method, "attribute": attribute, "constraint": constraint}
    return {key: value for key, value in given.items() if value is not None}


def _configuration(
    config: Path | None,
    data: Path | None,
    target: str | None,
    protected: str | None,
    favourable: str | None,
    name: str | None,
    mitigation: dict[str, str] | None,
    protected_as_features: bool,
) -> TrainingConfig:
    if (config is None) == (data is None):
        raise UsageError("give either a configuration, or --data FILE and --target COL")
    from training.config import TrainingConfig

    if config is not None:
        if target or protected or favourable or protected_as_features:
            options = "--target, --protected, --protected-as-features and --favourable"
            raise UsageError(f"{options} go with --data; a configuration has its own")
        read = TrainingConfig.from_yaml(config)
    elif data is None or target is None:
        raise UsageError("--data needs --target, the column to predict")
    else:
        attributes = [column.strip() for column in (protected or "").split(",") if column.strip()]
        read = TrainingConfig.for_table(data, target, attributes, name, favourable)
    changes: dict[str, dict[str, Any]] = {
        "--name": {"name": name} if name and config else {},
        "--protected-as-features": {"protected_as_features": True} if protected_as_features else {},
        "--mitigate": {"mitigation": mitigation} if mitigation else {},
    }
    for option, change in changes.items():
        if change:
            read = TrainingConfig.parse({**read.model_dump(by_alias=True), **change}, where=option)
    return read
