"""What BentoML's supervisor started must not outlive it: it gives each process a session of its own."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Final

_POLL_SECONDS: Final = 1.0


def end_with_parent() -> None:
    """Ask this process to end, as a supervisor would, within a second after its parent is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_POLL_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()
