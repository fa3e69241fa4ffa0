"""What the kernel is told of how urgent a process is, as a process that says it sees it afterwards."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
AUTOGROUPS = Path("/proc/sys/kernel/sched_autogroup_enabled")
SCHED_GETATTR = {"x86_64": 315, "aarch64": 275}


def run(program: str, *, own_session: bool = False) -> str:
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, start_new_session=own_session
    )
    return done.stdout.strip()


def test_who_gives_way_does_so_beyond_its_session() -> None:
    nice = min(19, os.nice(0) + 7)
    found = run(
        "import os; from pathlib import Path; from bentos.scheduling import give_way; give_way(7);"
        "group = Path('/proc/self/autogroup'); print(os.nice(0), group.read_text() if group.exists() else '')",
        own_session=True,
    )
    niceness, _, group = found.partition(" ")
    assert int(niceness) == nice
    if AUTOGROUPS.exists() and AUTOGROUPS.read_text().strip() == "1":
        assert group.rpartition(" ")[2] == "7"


def test_threads_that_were_there_before_give_way_too() -> None:
    nice = min(19, os.nice(0) + 7)
    found = run(
        "import os, threading; from bentos.scheduling import give_way; given, found = threading.Event(), [];\n"
        "def look():\n"
        "    given.wait()\n"
        "    found.append(os.nice(0))\n"
        "thread = threading.Thread(target=look); thread.start(); give_way(7); given.set(); thread.join();"
        "print(*found)"
    )
    assert int(found) == nice


def test_whoever_answers_has_short_turns_and_so_have_its_threads() -> None:
    found = run(
        "import ctypes, sys, threading; from bentos.scheduling import wake_promptly; wake_promptly();"
        f"number = {SCHED_GETATTR.get(platform.machine(), 0)}; turns = [];\n"
        "def look():\n"
        "    said = ctypes.create_string_buffer(48)\n"
        "    ctypes.CDLL(None).syscall(number, 0, said, 48, 0)\n"
        "    turns.append(int.from_bytes(said.raw[24:32], sys.byteorder))\n"
        "look(); thread = threading.Thread(target=look); thread.start(); thread.join(); print(*turns)"
    )
    release = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])
    wanted = 100_000 if release >= (6, 12) and platform.machine() in SCHED_GETATTR else 0
    turns = [int(turn) for turn in found.split()]
    assert all(turn == wanted or wanted == 0 for turn in turns)
    assert len(turns) == 2
