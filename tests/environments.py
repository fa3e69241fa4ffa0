"""Environments of their own for what must not enter the project's lock: clients, oracles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from uv import find_uv_bin

ROOT = Path(__file__).resolve().parents[1]


def python_of(project: Path) -> Path:
    """Return the Python of a project of uv's, its environment made as its lock says, if it is not there yet.

    What has no lock has no environment of its own either, and is run by the product's Python.
    """
    if not (project / "uv.lock").exists():
        return Path(sys.executable)
    place = ROOT / "build" / project.parent.name / project.name
    subprocess.run(
        [find_uv_bin(), "sync", "--frozen", "--quiet", "--project", str(project), "--python", sys.executable],
        env=os.environ | {"UV_PROJECT_ENVIRONMENT": str(place)},
        check=True,
    )
    return place / "bin" / "python"


def asked(project: Path, told: Any) -> Any:
    """Return what a project's `drive.py` prints, as JSON, when it is told something, as JSON."""
    done = subprocess.run(
        [python_of(project), str(project / "drive.py")],
        input=json.dumps(told),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    return json.loads(done.stdout.splitlines()[-1])
