"""The embedded MLflow store, and MLflow's manners: no telemetry, no chatter, no minutes of retrying."""

from __future__ import annotations

import fcntl
import logging
import math
import os
import sqlite3
from pathlib import Path

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
_CHATTY = ("mlflow", "mlflow.store.db.utils", "alembic", "alembic.runtime.migration")


def embedded_tracking_uri(mlflow_db: Path) -> str:
    """Return the tracking URI of the embedded store's database file."""
    return f"sqlite:///{mlflow_db.absolute()}"


def quiet_mlflow() -> None:
    """Set MLflow's telemetry, progress bars and chatter off, where the environment does not say otherwise.

    Call it before MLflow is imported for the first time: it reads some of this on import.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def bound_requests(timeout_seconds: float) -> None:
    """Make requests to an MLflow server fail in bounded time, where the environment does not say otherwise.

    MLflow takes these from the environment only, and its defaults repeat for many minutes.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(max(1, math.ceil(timeout_seconds))))
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")


def prepare_embedded_store(mlflow_db: Path, artifacts: Path) -> bool:
    """Make the embedded store ready; return whether it had to be made.

    MLflow builds its tables by running years of migrations: some seconds, once. They run on a file beside the
    database that takes its place when it is complete, under a lock, so that neither an interruption nor a second
    process leaves half a store behind.
    """
    mlflow_db.parent.mkdir(parents=True, exist_ok=True)
    artifacts.mkdir(parents=True, exist_ok=True)
    if _is_ready(mlflow_db):
        return False
    with mlflow_db.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_ready(mlflow_db):
            return False
        quiet_mlflow()
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        quiet_mlflow()  # again: importing MLflow sets its loggers up
        fresh = mlflow_db.with_suffix(".new")
        for leftover in fresh.parent.glob(f"{fresh.name}*"):  # of an interrupted first use
            leftover.unlink()
        store = SqlAlchemyStore(embedded_tracking_uri(fresh), artifacts.absolute().as_uri())
        store.engine.dispose()
        _write_ahead(fresh)
        fresh.replace(mlflow_db)
    return True


def _is_ready(mlflow_db: Path) -> bool:
    return mlflow_db.is_file() and mlflow_db.stat().st_size > 0


def _write_ahead(database: Path) -> None:
    """Let readers and the writer work side by side; SQLite keeps this mode in the file."""
    connection = sqlite3.connect(database)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()
