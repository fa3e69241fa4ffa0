"""What `/readyz` and `/livez` say."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any, Final

from bentos.oip import versions
from bentos.worker import Worker

NEARLY_FULL: Final = 0.8
"""Share of the spool's bound from which on it is told."""


def readiness(worker: Worker) -> tuple[bool, dict[str, Any]]:
    """Return whether this worker can answer, and why not or what is amiss though it can."""
    models = {
        served.model: {
            "champion": served.champion.version,
            "challenger": None if served.challenger is None else served.challenger.version,
            "weight": served.weight,
            "epoch": served.epoch,
            "versions": versions(served),
        }
        for served in worker.models.values()
    }
    ready = bool(models)
    problems = dict(worker.problems)
    if not ready and not problems:
        problems["models"] = (
            "no version has the alias 'champion'; train one and run `fairmind models promote NAME/VERSION`"
        )
    if worker.is_stale:
        problems["companion"] = "the serving state is not being renewed; every unit is served by the champion"
    waiting, limit = worker.log.waiting_bytes(), worker.monitoring.spool_bytes
    if waiting >= NEARLY_FULL * limit:
        problems["prediction_log"] = (
            f"the spool is {waiting / limit:.0%} full: rows wait for the database; see to it, "
            "or raise FAIRMIND_MONITORING_SPOOL_BYTES"
        )
    shipped = worker.log.shipped_state()
    return ready, {
        "ready": ready,
        "worker": os.getpid(),
        "models": models,
        "problems": problems,
        "prediction_log": {
            "waiting_bytes": waiting,
            "waiting_rows": shipped.rows,
            "counted_at": datetime.fromtimestamp(shipped.at, UTC).isoformat() if shipped.at else None,
            "limit_bytes": limit,
        },
    }
