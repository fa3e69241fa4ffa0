"""The `fairmind` command and what becomes of its errors."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.markup import escape

from bentos import telemetry
from cli import (
    bias_test,
    demo,
    doctor,
    drift,
    imports,
    keys,
    mlops,
    models,
    predictions,
    replay,
    reproduce,
    rollout,
    serve,
    train,
    variants,
    windows,
)
from cli.failures import exit_status, one_line
from cli.output import console
from database.home import keep_files_private

app = typer.Typer(
    name="fairmind",
    help="From a scikit-learn model to guarded production: train, gate, serve, split, test for bias.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for commands in (
    demo,
    train,
    models,
    serve,
    variants,
    keys,
    rollout,
    replay,
    bias_test,
    imports,
    windows,
    drift,
    predictions,
    reproduce,
    mlops,
    doctor,
):
    commands.register(app)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options that stand before the command."""


def main() -> None:
    """Run the command; an error is one line, with its exit status."""
    telemetry.switch_off()
    keep_files_private()
    try:
        app()
    except KeyboardInterrupt:
        console.print("interrupted")
        sys.exit(130)
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        console.print(f"[red]error:[/red] {escape(one_line(error))}", soft_wrap=True)
        sys.exit(exit_status(error))
