"""What commands print: results on standard output, progress and errors on standard error."""

from __future__ import annotations

import sys
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

console = Console(stderr=True, highlight=False)
"""Progress, notes and errors."""

results = Console(highlight=False)
"""Results for people."""


def emit_json(value: Any) -> None:
    """Print a result for scripts: one JSON document on standard output."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY).decode() + "\n")


def table(title: str, *columns: str) -> Table:
    """Return an empty table in the house's style."""
    made = Table(
        title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False
    )
    for position, column in enumerate(columns):
        made.add_column(column, no_wrap=position == 0)  # what a row is called is copied into the next command
    return made
