"""`fairmind predictions`: the prediction log, taken away as Parquet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli.failures import UsageError
from cli.output import console, emit_json, results

if TYPE_CHECKING:
    import pyarrow as pa

app = typer.Typer(help="The prediction log.", no_args_is_help=True)

_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def register(root: typer.Typer) -> None:
    """Add the commands to the root command."""
    root.add_typer(app, name="predictions")


@app.command()
def export(
    model: Annotated[str, typer.Option(metavar="M", help="Name of the model.")],
    out: Annotated[Path, typer.Option(metavar="PATH", help="FILE.parquet, or a new folder for several.")],
    since: Annotated[
        datetime | None, typer.Option(metavar="TIME", formats=_FORMATS, help="From when on (UTC).")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(metavar="TIME", formats=_FORMATS, help="Until when; default now.")
    ] = None,
    protected: Annotated[bool, typer.Option("--protected", help="With protected attributes.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Write the logged predictions of a model with outcomes and features to Parquet."""
    from bentos.stores import open_features
    from cli.context import open_context
    from monitoring.export import Export

    context = open_context()
    chosen = Export(
        context.log,
        open_features(context.settings, context.home),
        model,
        since=_utc(since) or _LONG_AGO,
        until=_utc(until) or datetime.now(UTC),
        protected=protected,
    )
    total = chosen.rows()
    if not total:
        raise UsageError(f"the log holds no predictions of '{model}' in that time")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    schema = chosen.schema()
    rows = 0
    with _writer(out, schema) as write, Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("exporting", total=total)
        for table in chosen.tables(schema):
            write(table)
            rows += table.num_rows
            bar.update(task, completed=rows)
    if as_json:
        emit_json({"model": model, "rows": rows, "columns": schema.names, "out": str(out)})
        return
    results.print(f"{rows:,} predictions of {escape(model)} in {escape(str(out))}")


def _utc(time: datetime | None) -> datetime | None:
    if time is None:
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


@contextmanager
def _writer(out: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    """Yield what writes tables: into a file that is there once it is whole, or each into a file of a new folder."""
    import pyarrow.parquet as pq

    if out.suffix == ".parquet":
        torn = out.with_name(f"{out.name}.tmp")
        try:
            with pq.ParquetWriter(torn, schema, compression="zstd") as writer:
                yield writer.write_table
            torn.replace(out)
        finally:
            torn.unlink(missing_ok=True)
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is there already: name a new folder, or a file that ends in .parquet")
    out.mkdir(parents=True, exist_ok=True)
    parts = iter(range(1_000_000))
    yield lambda table: pq.write_table(table, out / f"part-{next(parts):06}.parquet", compression="zstd")
