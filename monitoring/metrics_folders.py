"""Where the processes of a deployment save what they count, and how one knows that nobody does any more."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from pathlib import Path
from typing import Final

from monitoring.metrics import ServingMetrics

_LOCK: Final = "lock"
_FOLDER: Final = re.compile(r"metrics-\d+(-\d+)?")  # releases before this one left out when the supervisor started
_YOUNG_SECONDS: Final = 60.0
"""A folder changed so lately may be one whose first process has not taken its lock yet."""


def deployment_folder(run: Path) -> Path:
    """Return where in `run` the processes of this deployment save: all have one parent, the supervisor.

    When it started is part of the name: in a container every supervisor has the same process id.
    """
    supervisor = os.getppid()
    return run / f"metrics-{supervisor}-{_started(supervisor)}"


def process_metrics(folder: Path) -> ServingMetrics:
    """Return this process's metrics, saved under `folder`, where `monitoring.exposition` finds them.

    The file's name is the process and the time: a process id that is given again must not make counters fall. The
    folder is in use until the last process ends that has its metrics there.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)  # never closed: the kernel does it in the end
    fcntl.flock(lock, fcntl.LOCK_SH)
    return ServingMetrics(folder / f"{os.getpid()}-{time.time_ns()}.json")


def prune_metrics(run: Path, own: Path) -> None:
    """Remove the folders of deployments in `run` that no process uses any more; `own` stays in any case.

    Locks tell, not process ids: a deployment in another container sees none of our processes, nor we of its.
    """
    for folder in run.glob("metrics-*"):
        if folder != own and _FOLDER.fullmatch(folder.name) and not _is_used(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_used(folder: Path) -> bool:
    try:
        if time.time() - folder.stat().st_mtime < _YOUNG_SECONDS:
            return True
        with (folder / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:  # somebody has it, or this file system does not say
        return True
    return False


def _started(process: int) -> str:
    """Return when a process started, in the kernel's ticks since it booted; "0" where no kernel says."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except OSError:
        return "0"
    # proc(5): the 22nd field, after a command that may hold spaces and parentheses.
    return stat.rpartition(")")[2].split()[19]


def is_alive(process: int) -> bool:
    """Return whether there is a process of this id."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # it is another user's
    return True
