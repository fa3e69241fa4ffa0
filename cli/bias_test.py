"""`fairmind bias-test`: a registered version on a table of one's own, without a server."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.failures import REFUSED, UsageError
from cli.output import console, emit_json

if TYPE_CHECKING:
    from registry.versions import ModelVersion

_ROWS_PER_CALL = 50_000


def register(root: typer.Typer) -> None:
    """Add the command to the root command."""
    root.command("bias-test")(bias_test)


def bias_test(
    model: Annotated[str, typer.Option(metavar="REF", help="name@alias, name/version or models:/…")],
    data: Annotated[Path, typer.Option(metavar="FILE", help="CSV or Parquet with features, label and attributes.")],
    label: Annotated[str, typer.Option(metavar="COL", help="Column of the true label.")],
    protected: Annotated[str, typer.Option(metavar="A,B", help="Protected attributes, comma separated.")],
    favourable: Annotated[
        str | None, typer.Option(help="The label one would rather get; the one it was trained with if left out.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Test a version for bias on a table; exit 3 when the verdict is fail."""
    import numpy as np

    from assessment.columns import BiasTestColumns, Subject, assess_columns
    from assessment.render import text
    from assessment.result import DataSource
    from cli.context import open_context
    from fairness.gate import Verdict
    from inference.frames import columns_from_frame
    from inference.loading import load_model
    from monitoring.identifiers import new_request_id
    from registry.model_cache import ModelCache
    from registry.reference import Reference
    from sources.file import FileSource

    context = open_context()
    version = context.registry.find(Reference.parse(model))
    served = load_model(ModelCache(context.home.models).fetch(context.registry, version) / "fairmind")
    frame = FileSource(path=data).read(context.home.data)
    names = [name.strip() for name in protected.split(",") if name.strip()]
    for column in (label, *names):
        if column not in frame.columns:
            raise UsageError(f"{data} has no column '{column}'; it has {', '.join(map(str, frame.columns))}")
    columns, rows = columns_from_frame(frame, served.signature)
    predictions: list[Any] = []
    for start in range(0, rows, _ROWS_PER_CALL):
        part = {name: values[start : start + _ROWS_PER_CALL] for name, values in columns.items()}
        predictions += served.predict(part, min(_ROWS_PER_CALL, rows - start)).prediction.tolist()
    result = assess_columns(
        Subject(version.name, version.version, DataSource.TABLE, new_request_id(), datetime.now(UTC)),
        BiasTestColumns(
            predictions, _values(frame[label]), {name: _values(frame[name].astype(object)) for name in names}
        ),
        favourable=_favourable(favourable, version, served.signature.classes),
        classes=served.signature.classes,
        generator=np.random.default_rng(0),
    )
    if as_json:
        emit_json(result.model_dump(mode="json"))
    else:
        typer.echo(text(result), nl=False)
    if result.verdict is Verdict.FAIL:
        raise typer.Exit(REFUSED)


def _values(series: Any) -> list[Any]:
    return list(series.astype(object).where(series.notna(), None))


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
