"""Folders that appear whole or not at all, on the disk as well; what is left of those whose maker was killed."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

_MADE: Final = re.compile(r"\.(incoming|replaced|damaged|download|compiling|digest)-\w+")
_HELD: Final = "incoming"
_SECONDS: Final = 60.0
_SECONDS_UNHELD: Final = 86_400.0


@contextmanager
def incoming(home: Path) -> Iterator[Path]:
    """Yield a new folder in `home`, to be filled and then to be moved by `place`; one that was not is removed.

    It is locked meanwhile: that is how `sweep` tells it from one whose maker was killed.
    """
    folder = home / f".{_HELD}-{uuid4().hex}"
    folder.mkdir(parents=True)
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_SH)
        yield folder
    finally:
        os.close(held)
        shutil.rmtree(folder, ignore_errors=True)


def place(folder: Path, into: Path) -> None:
    """Give a folder its name once the disk has all of it: after a loss of power there is the whole of it, or none.

    Raises:
        OSError: The disk refuses, or `into` is there.
    """
    for path, _, names in os.walk(folder):
        for name in names:
            _sync(Path(path, name))
        _sync(Path(path))
    folder.rename(into)
    _sync(into.parent)


def write_settled(path: Path, text: str) -> None:
    """Write a small file that says something of others: it is whole, and on the disk, or it is as it was before."""
    temporary = path.with_name(f".{path.name.lstrip('.')}-{uuid4().hex}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        _sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)


def sweep(root: Path) -> None:
    """Remove what those who were killed left unfinished in `root` and in its folders.

    What is locked, or young, may still be worked on; what is never locked is left for a day.
    """
    for folder in (*root.glob(".*"), *root.glob("*/.*")):
        kind = _MADE.fullmatch(folder.name)
        if kind is not None and not _is_worked_on(folder, is_locked=kind[1] == _HELD):
            shutil.rmtree(folder, ignore_errors=True)


def _is_worked_on(folder: Path, *, is_locked: bool) -> bool:
    try:
        if time.time() - folder.stat().st_mtime < (_SECONDS if is_locked else _SECONDS_UNHELD):
            return True
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # it has just gone, or is no folder of ours
        return True
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # somebody has it, or this file system has no locks
        return True
    finally:
        os.close(held)
    return False


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
