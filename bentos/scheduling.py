"""How the processes of a deployment share the processor: answers first."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
from pathlib import Path
from typing import Final

_AUTOGROUP: Final = Path("/proc/self/autogroup")
_THREADS: Final = Path("/proc/self/task")
_SCHED_SETATTR: Final = {"x86_64": 314, "aarch64": 274}
_ATTRIBUTES: Final = struct.Struct("=IIQiIQQQ")  # struct sched_attr of sched_setattr(2), its first version
_SHORT_NANOSECONDS: Final = 100_000


def give_way(niceness: int) -> None:
    """Let other processes go first: with all threads there are, and those and the processes that begin later.

    Where the kernel shares out by sessions, and BentoML gives each process one, niceness counts only within the
    session: its group gets the same. A sandbox may forbid it: then all are equals.
    """
    with contextlib.suppress(OSError):
        wanted = os.nice(niceness)  # on Linux, of this thread alone
        for thread in _THREADS.iterdir():
            with contextlib.suppress(ProcessLookupError):  # it has ended
                os.setpriority(os.PRIO_PROCESS, int(thread.name), wanted)
        _AUTOGROUP.write_text(str(niceness), encoding="ascii")


def wake_promptly() -> None:
    """Have this thread, and those that it starts, run as soon as they are woken, in short turns.

    Without it, Linux lets whatever runs at that moment, a bias test, go on for up to a tick of 4 ms. Kernels before
    6.12, which know no turns of a thread's own, ignore it.
    """
    number = _SCHED_SETATTR.get(platform.machine())
    if number is None or not hasattr(os, "sched_getscheduler"):
        return
    attributes = _ATTRIBUTES.pack(
        _ATTRIBUTES.size, os.sched_getscheduler(0), 0, os.nice(0), 0, _SHORT_NANOSECONDS, 0, 0
    )
    ctypes.CDLL(None).syscall(number, 0, ctypes.create_string_buffer(attributes, len(attributes)), 0)
