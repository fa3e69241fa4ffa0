"""`fairmind outcomes` and `fairmind attributes`: what is learned later, from a file or a database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli.failures import UsageError
from cli.output import console, emit_json, results

if TYPE_CHECKING:
    import pandas as pd

    from cli.context import Context

outcomes_app = typer.Typer(help="Outcomes: the true labels of predictions.", no_args_is_help=True)
attributes_app = typer.Typer(help="Protected attributes that were not sent with requests.", no_args_is_help=True)

_ROWS_AT_ONCE: Final = 10_000
_UNITS_AT_ONCE: Final = 1_000

File = Annotated[Path | None, typer.Argument(metavar="FILE", help="CSV or Parquet.")]
Sql = Annotated[
    tuple[str, str] | None,
    typer.Option(metavar="URL QUERY", help="Rows of a database; for URL also the variable that holds it."),
]
PredictionId = Annotated[
    str | None, typer.Option(metavar="COL", help="Column of prediction ids, as `/predict` answered them.")
]
Model = Annotated[str | None, typer.Option(metavar="NAME", help="The model whose rows --id names.")]
Id = Annotated[str | None, typer.Option("--id", metavar="COL", help="Column of the ids callers gave their rows.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def register(root: typer.Typer) -> None:
    """Add the commands to the root command."""
    root.add_typer(outcomes_app, name="outcomes")
    root.add_typer(attributes_app, name="attributes")


@outcomes_app.command("import")
def import_outcomes(
    outcome: Annotated[str, typer.Option(metavar="COL", help="Column of the true label.")],
    file: File = None,
    sql: Sql = None,
    prediction_id: PredictionId = None,
    model: Model = None,
    id_: Id = None,
    observed_at: Annotated[
        str | None, typer.Option(metavar="COL", help="Column of when it was observed; UTC where it has no zone.")
    ] = None,
    as_text: Annotated[bool, typer.Option("--as-text", help="Take outcomes for text: 1 for '1'.")] = False,
    as_json: Json = False,
) -> None:
    """Keep the outcomes in a table; rows without one are skipped, and importing it again changes nothing."""
    from cli.context import open_context
    from monitoring.outcomes import Outcome, keep

    named = _names(prediction_id, model, id_, None)
    context = open_context()
    columns = [*named.values(), *([outcome] if as_text else [])]
    frame = _table(context, file, sql, texts=columns, needed=[*named.values(), outcome, observed_at])
    labels = frame[outcome].astype(object).where(frame[outcome].notna(), None).tolist()
    times = [None] * len(frame) if observed_at is None else _times(frame[observed_at], observed_at)
    names = {name: _texts(frame[column]) for name, column in named.items()}
    rows = (
        None
        if labels[row] is None
        else {
            **{name: values[row] for name, values in names.items()},
            **({} if id_ is None else {"model": model}),
            "outcome": str(labels[row]) if as_text else labels[row],
            "observed_at": times[row],
        }
        for row in range(len(frame))
    )
    store = partial(keep, context.log, received_at=datetime.now(UTC))
    _import("outcomes", len(frame), rows, Outcome, lambda batch: asdict(store(batch)), _ROWS_AT_ONCE, as_json)


@attributes_app.command("import")
def import_attributes(
    protected: Annotated[str, typer.Option(metavar="A,B", help="Columns of protected attributes.")],
    file: File = None,
    sql: Sql = None,
    prediction_id: PredictionId = None,
    model: Model = None,
    id_: Id = None,
    unit: Annotated[
        str | None,
        typer.Option(metavar="COL", help="Column of units: for all predictions of each, also later ones."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Keep the protected attributes in a table; later values replace earlier ones, missing ones say nothing."""
    from cli.context import open_context
    from monitoring.attributes import AttributeRecord, keep_attributes
    from monitoring.units import unit_hash
    from rollout.serving_store import deployment_salt

    named = _names(prediction_id, model, id_, unit)
    told = [name.strip() for name in protected.split(",") if name.strip()]
    context = open_context()
    columns = [*named.values(), *told]
    frame = _table(context, file, sql, texts=columns, needed=columns)
    groups = {name: _texts(frame[name]) for name in told}
    names = {name: _texts(frame[column]) for name, column in named.items()}

    def rows() -> Iterator[dict[str, Any] | None]:
        for row in range(len(frame)):
            said = {name: values[row] for name, values in groups.items() if values[row] is not None}
            of = {name: values[row] for name, values in names.items()}
            yield {**of, **({} if id_ is None else {"model": model}), "protected": said} if said else None

    store = partial(
        keep_attributes, context.log, hash_unit=partial(unit_hash, deployment_salt(context.control).encode())
    )
    size = _ROWS_AT_ONCE if unit is None else _UNITS_AT_ONCE
    _import("attributes", len(frame), rows(), AttributeRecord, lambda batch: asdict(store(batch)), size, as_json)


def _names(prediction_id: str | None, model: str | None, id_: str | None, unit: str | None) -> dict[str, str]:
    """Return what names a row, with its column."""
    given = {"prediction_id": prediction_id, "id": id_, "unit": unit}
    found = {name: column for name, column in given.items() if column is not None}
    if len(found) != 1 or (id_ is None) != (model is None):
        raise UsageError(
            "say what names a row: --prediction-id COL, or --model NAME with --id COL, or a unit's column"
        )
    return found


def _table(
    context: Context,
    file: Path | None,
    sql: tuple[str, str] | None,
    *,
    texts: list[str],
    needed: Sequence[str | None],
) -> pd.DataFrame:
    from cli.bias_test_tables import sql_table
    from sources.tables import read_table

    if (file is None) == (sql is None):
        raise UsageError("give either FILE or --sql URL QUERY")
    if file is not None:
        frame = read_table(file.expanduser(), texts=texts)
    elif sql is not None:
        frame = sql_table(context, sql)
    for column in needed:
        if column is not None and column not in frame.columns:
            raise UsageError(f"the table has no column '{column}'; it has {', '.join(map(str, frame.columns))}")
    return frame


def _texts(column: pd.Series) -> list[str | None]:
    """Return a column as text, whole numbers without a fraction, None where it is missing."""
    found: list[str | None] = []
    for value in column.astype(object).where(column.notna(), None).tolist():
        whole = int(value) if isinstance(value, float) and value.is_integer() else value
        found.append(None if whole is None else str(whole))
    return found


def _times(column: pd.Series, name: str) -> list[datetime | None]:
    import pandas as pd

    try:
        times = pd.to_datetime(column, utc=True, format="ISO8601")
    except (ValueError, TypeError, OverflowError):
        raise UsageError(f"column '{name}' has a value that is no time; write 2026-01-31T12:00:00Z") from None
    return [None if pd.isna(time) else time.to_pydatetime() for time in times]


def _import(
    what: str,
    rows: int,
    read: Iterator[dict[str, Any] | None],
    kind: Any,
    store: Callable[[list[Any]], dict[str, int]],
    size: int,
    as_json: bool,
) -> None:
    """Store rows some thousands at a time, each batch as a whole, and say what became of them."""
    from pydantic import ValidationError
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    totals = Counter(accepted=0, repeated=0, unmatched=0, skipped=0)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=rows)
        batch: list[Any] = []
        for number, row in enumerate(read, start=1):
            if row is None:
                totals["skipped"] += 1
            else:
                try:
                    batch.append(kind.model_validate(row))
                except ValidationError as error:
                    first = error.errors(include_url=False, include_input=False)[0]
                    where = ".".join(str(part) for part in first["loc"][:1])
                    said = f"{where}: {first['msg']}" if where else first["msg"]
                    before = f"the {number - 1 - len(batch):,} rows before its batch are kept"
                    raise UsageError(f"row {number} of the table: {said}; {before}") from None
            if len(batch) == size or (number == rows and batch):
                totals.update(store(batch))
                batch = []
            bar.update(task, completed=number)
    if as_json:
        emit_json(dict(totals))
        return
    known = f"{totals['repeated']:,} known already, {totals['skipped']:,} rows skipped"
    results.print(f"{totals['accepted']:,} {what} kept, {known}", markup=False)
    if totals["unmatched"]:
        console.print(
            f"{totals['unmatched']:,} of them wait for predictions that are not in the log yet", markup=False
        )
