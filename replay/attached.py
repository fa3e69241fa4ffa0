"""What a version carries of its replays: a tag that sums the last one up, and the reports beside its files."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from replay.report_html import html
from replay.result import ReplayResult
from rollout.outbox import Kind, post

TAG: Final = "fairmind.replay"
PLACE: Final = ".fairmind/replays"
"""Where reports lie beside a version's files; hidden, so that its digest stays what it was registered with."""


def attach(connection: Connection, result: ReplayResult, now: datetime) -> None:
    """Ask for the result to be put on its version; while the registry is away that waits."""
    summed = {
        "id": result.id,
        "verdict": result.verdict,
        "against": result.against.version,
        "since": result.since.isoformat(),
        "until": result.until.isoformat(),
        "rows": result.rows.compared,
        "changed_decisions": sum(one.rows for one in result.changed_decisions if not one.attribute),
    }
    version = result.challenger.version
    tag = {"version": version, "key": TAG, "value": json.dumps(summed)}
    file = {"version": version, "place": PLACE, "name": f"{result.id}.html", "content": html(result)}
    for kind, payload in ((Kind.TAG, tag), (Kind.FILE, file)):
        post(connection, kind, key=f"replay:{result.id}:{kind}", model=result.model, payload=payload, now=now)
