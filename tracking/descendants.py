"""The processes that a process has started: some of a provider's library have a session of their own."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path


def kill_descendants(pid: int) -> None:
    """Kill what the process has started and what that has started, where the system tells."""
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError, ValueError):
            for child in map(int, path.read_text().split()):
                kill_descendants(child)
                os.kill(child, signal.SIGKILL)
