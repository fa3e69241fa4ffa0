"""`fairmind windows`: the counts of live traffic."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.output import console, emit_json, results

app = typer.Typer(help="The counts of live traffic that bias tests and gauges read.", no_args_is_help=True)


def register(root: typer.Typer) -> None:
    """Add the commands to the root command."""
    root.add_typer(app, name="windows")


@app.command()
def rebuild(as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False) -> None:
    """Count the predictions of the log anew; where nothing else wrote to it, this changes nothing."""
    from cli.context import open_context
    from monitoring.window_upkeep import recount

    context = open_context()
    with console.status("counting; what is served meanwhile waits in the spool"):
        counted = recount(context.log)
    if as_json:
        emit_json({"counted": counted})
        return
    results.print(f"{counted:,} predictions counted")
