"""The home that a load test serves from: a copy, so that its traffic stays out of the original's prediction log."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from loadtests.errors import HomeMissingError

MODEL = "employment"
COPIED_DATABASES = ("mlflow.db", "fairmind.db")


def default_home() -> Path:
    """Return `FAIRMIND_HOME`, or its default."""
    return Path(os.environ.get("FAIRMIND_HOME", ".fairmind"))


def ensure_demo_home(home: Path) -> None:
    """Run the demo once, to its end, when the home serves nothing yet."""
    if (home / "models" / MODEL).is_dir():
        return
    print(f"{home} serves no model '{MODEL}' yet: running the demo once", flush=True)
    fairmind = Path(sys.executable).parent / "fairmind"
    environment = {**os.environ, "FAIRMIND_HOME": str(home)}
    subprocess.run([str(fairmind), "demo", "--exit"], env=environment, check=True)  # noqa: S603 - our own command


def create_key(home: Path, scopes: str = "predict,read") -> str:
    """Return a new API key of a home that may predict, as the requests of a service in earnest carry one."""
    command = [str(Path(sys.executable).parent / "fairmind"), "keys", "create", "bench", "--scopes", scopes]
    environment = {**os.environ, "FAIRMIND_HOME": str(home)}
    made = subprocess.run(  # noqa: S603 - our own command
        [*command, "--json"], env=environment, check=True, capture_output=True, text=True
    )
    return str(json.loads(made.stdout)["key"])


def copy_home(home: Path, target: Path) -> Path:
    """Copy what serving needs of a home, and return the copy.

    Databases are copied through SQLite's backup, which is consistent even while a server uses them. The prediction
    log stays behind; artifacts are referred to by absolute paths and are not copied.

    Raises:
        HomeMissingError: The home has no database to copy.
    """
    if not any((home / name).is_file() for name in COPIED_DATABASES):
        raise HomeMissingError(home, " or ".join(COPIED_DATABASES))
    if target.exists():
        shutil.rmtree(target)
    target.mkdir(mode=0o700, parents=True)
    for name in COPIED_DATABASES:
        if (home / name).is_file():
            with closing(sqlite3.connect(home / name)) as source, closing(sqlite3.connect(target / name)) as copy:
                source.backup(copy)
    if (home / "models").is_dir():
        shutil.copytree(home / "models", target / "models", symlinks=True)
    return target
