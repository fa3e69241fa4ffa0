"""`fairmind bias-test`: a registered version on a table of one's own, without a server."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.failures import REFUSED, UsageError
from cli.mlops import said, send
from cli.output import console, emit_json

if TYPE_CHECKING:
    from assessment.options import ModelOptions
    from assessment.result import BiasTestResult
    from cli.bias_test_tables import NamedTable
    from cli.context import Context
    from fairness.gate import BiasPolicy
    from inference.served_model import ServedModel
    from registry.versions import ModelVersion
    from remotes.blocking import BlockingRemote


def register(root: typer.Typer) -> None:
    """Add the command to the root command."""
    root.command("bias-test")(bias_test)


def bias_test(
    model: Annotated[str, typer.Option(metavar="REF", help="name@alias, name/version or models:/…")],
    label: Annotated[str, typer.Option(metavar="COL", help="Column of the true label.")],
    protected: Annotated[str, typer.Option(metavar="A,B", help="Protected attributes, comma separated.")],
    data: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV or Parquet with features, label and attributes.")
    ] = None,
    sql: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="URL QUERY", help="Rows of a database; for URL also the variable that holds it."),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="An uploaded data set, by name or id.")
    ] = None,
    favourable: Annotated[
        str | None, typer.Option(help="The label one would rather get; the one it was trained with if left out.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Tolerances in YAML or JSON; the default ones if left out.")
    ] = None,
    intersection: Annotated[
        list[str] | None,
        typer.Option(metavar="A,B", help="Protected attributes to take together as well; repeatable."),
    ] = None,
    flip: Annotated[
        list[str] | None,
        typer.Option(metavar="A=X,Y", help="Score again with values X and Y of a feature A exchanged; repeatable."),
    ] = None,
    proxies: Annotated[
        bool, typer.Option("--proxies", help="Measure how well the features tell each attribute.")
    ] = False,
    record: Annotated[
        bool, typer.Option("--record", help="Make the verdicts gates of the version, which its promotion asks.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a report: .html for people, .md for a model card.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Test a version for bias on a table; exit 3 when it fails or lacks evidence that its policy requires."""
    from assessment.gate import lacking, refusals
    from assessment.gate import record as record_gates
    from assessment.render import text
    from assessment.tracked import tracked
    from cli.bias_test_tables import NamedTable
    from cli.context import open_context
    from registry.reference import Reference

    if [data, sql, dataset].count(None) != 2:
        raise UsageError("give one of --data FILE, --sql URL QUERY and --dataset NAME")
    if report is not None and report.suffix not in {".html", ".md"}:
        raise UsageError(f"{report} must end in .html or .md")
    names = _listed(protected)
    options = _options(policy, intersection or [], flip or [], proxies)
    context = open_context()
    version = context.registry.find(Reference.parse(model))
    table = NamedTable(context, data, sql, dataset)
    with _opened(context, version) as served:
        result = _measured(served, version, table, label, names, favourable, options)
    _keep(context, result)
    if record:
        record_gates(context.registry, version, result)
    if report is not None:
        _write(report, result)
    if as_json:
        emit_json(result.model_dump(mode="json"))
    else:
        typer.echo(text(result), nl=False)
        for line in lacking(result):
            console.print(f"[yellow]not decided:[/yellow] {line}", highlight=False)
    if context.tracker.providers:  # now that the result is out: a provider may take its time
        for line in said(send(context, tracked(result, user_id=context.actor))):
            console.print(line, markup=False, soft_wrap=True)
    refused = refusals(result)
    for line in refused:
        console.print(f"[red]refused:[/red] {line}", highlight=False)
    if refused:
        raise typer.Exit(REFUSED)


def _measured(
    served: ServedModel | BlockingRemote,
    version: ModelVersion,
    rows: NamedTable,
    label: str,
    names: list[str],
    favourable: str | None,
    options: ModelOptions,
) -> BiasTestResult:
    import numpy as np

    from assessment.columns import Subject, assess_columns
    from assessment.flips import Flipping
    from assessment.result import DataSource
    from assessment.table import score, table_columns, table_proxies
    from monitoring.identifiers import new_request_id

    wanted = _favourable(favourable, version, served.signature.classes)
    frame = rows.read([label, *names])
    # The columns are looked at before the rows are scored, which may take a while.
    table_columns(frame, [], label=label, protected=names)
    flipping = Flipping(served, options.flip, wanted)
    features = [column.name for column in served.signature.columns]
    predictions = score(rows.batches(features), flipping)
    result = assess_columns(
        Subject(version.name, version.version, DataSource.TABLE, new_request_id(), datetime.now(UTC)),
        table_columns(frame, predictions, label=label, protected=names),
        favourable=wanted,
        classes=served.signature.classes,
        options=options,
        generator=np.random.default_rng(0),
    )
    found: dict[str, Any] = {"dataset": rows.id, "flips": flipping.reports()}
    if options.proxies:
        known = [name for name in features if name in rows.columns]
        found["proxies"] = table_proxies(frame, names, known, rows.read, options.edges)
    return result.model_copy(update=found)


@contextlib.contextmanager
def _opened(context: Context, version: ModelVersion) -> Iterator[ServedModel | BlockingRemote]:
    """Yield the version ready to predict: here, or by its server."""
    from inference.loading import load_model
    from registry.model_cache import ModelCache
    from remotes.blocking import BlockingRemote
    from remotes.definition import is_remote, read_remote

    folder = ModelCache(context.home.models).fetch(context.registry, version)
    if not is_remote(folder):
        yield load_model(folder / "fairmind")
        return
    with contextlib.closing(BlockingRemote(read_remote(folder))) as remote:
        yield remote


def _keep(context: Context, result: BiasTestResult) -> None:
    from assessment import store
    from assessment.fairmind import findings_of, record_of

    found = record_of(result)
    details = {"favourable": result.favourable, "alpha": result.alpha}
    asked = store.Asked(context.actor, dataset_id=result.dataset, details=details)
    store.keep(context.control, result, found, findings_of(found["results"]), asked)
    console.print(f"kept as test {result.test_id}", markup=False)


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _options(policy: Path | None, intersections: list[str], flips: list[str], proxies: bool) -> ModelOptions:
    from pydantic import ValidationError

    from assessment.options import ModelOptions

    swaps: dict[str, list[str]] = {}
    for flip in flips:
        attribute, _, values = flip.partition("=")
        swaps[attribute.strip()] = _listed(values)
    asked = {"intersections": [_listed(names) for names in intersections], "flip": swaps, "proxies": proxies}
    try:
        options = ModelOptions.model_validate(asked)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["loc"][:1] == ("flip",):
            raise UsageError("--flip: name an attribute and two of its values, as in --flip SEX=1,2") from None
        raise UsageError(first["msg"].removeprefix("Value error, ")) from None
    return options if policy is None else options.model_copy(update={"policy": _policy(policy)})


def _policy(path: Path) -> BiasPolicy:
    import yaml
    from pydantic import ValidationError

    from fairness.gate import BiasPolicy

    try:
        return BiasPolicy.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"--policy: {path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, yaml.YAMLError):
        raise UsageError(f"--policy: {path} is not YAML") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"--policy: {path}: {where}: {first['msg']}") from None


def _write(path: Path, result: BiasTestResult) -> None:
    from assessment.model_card import model_card
    from assessment.report_html import html

    path.write_text(html(result) if path.suffix == ".html" else model_card(result), encoding="utf-8")
    console.print(f"wrote {path}", markup=False)


def _favourable(given: str | None, version: ModelVersion, classes: tuple[Any, ...]) -> Any:
    if given is None:
        trained = version.tags.get("fairmind.favourable")
        if trained is None:
            raise UsageError(f"say which label is favourable: --favourable, one of {', '.join(map(str, classes))}")
        console.print(f"assumed: {trained} is the favourable label, as in training; --favourable says otherwise")
        return json.loads(trained)
    for label in classes:
        if str(label) == given:
            return label
    raise UsageError(f"'{given}' is no class of {version}; its classes are {', '.join(map(str, classes))}")
