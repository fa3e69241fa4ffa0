"""Folders that appear whole or not at all; what those who were killed left behind goes, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from registry.incoming import incoming, place, sweep, write_settled

MAKER = """
import pathlib, sys
from registry.incoming import incoming
with incoming(pathlib.Path(sys.argv[1])) as folder:
    (folder / "model.pkl").write_bytes(b"half of it")
    print(folder, flush=True)
    sys.stdin.read()
"""


def start_making(home: Path) -> tuple[subprocess.Popen[str], Path]:
    pipe = subprocess.PIPE
    maker = subprocess.Popen([sys.executable, "-c", MAKER, str(home)], stdin=pipe, stdout=pipe, text=True)
    assert maker.stdout is not None
    return maker, Path(maker.stdout.readline().strip())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def age(folder: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(folder, (then, then))


def test_what_is_made_appears_whole_and_what_is_not_finished_goes(tmp_path: Path) -> None:
    with incoming(tmp_path) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "file").write_text("content")
        place(folder, tmp_path / "1-abc")
    assert (tmp_path / "1-abc" / "inner" / "file").read_text() == "content"
    with incoming(tmp_path) as folder:
        (folder / "file").touch()
    assert names(tmp_path) == ["1-abc"]


def test_the_disk_has_every_file_and_folder_before_the_name_is_given_and_the_name_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    with incoming(tmp_path) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "file").write_text("content")
        place(folder, tmp_path / "1-abc")
    assert set(synced[:-1]) == {str(folder), str(folder / "inner"), str(folder / "inner" / "file")}
    assert synced[-1] == str(tmp_path)
    synced.clear()
    write_settled(tmp_path / "current", "abc")
    assert [Path(path).parent for path in synced] == [tmp_path, tmp_path.parent]
    assert (tmp_path / "current").read_text() == "abc"
    assert names(tmp_path) == ["1-abc", "current"]


def test_what_a_maker_that_was_killed_left_is_swept_and_what_is_being_made_is_not(tmp_path: Path) -> None:
    home = tmp_path / "credit"
    killed, left = start_making(home)
    living, kept = start_making(home)
    try:
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        sweep(tmp_path)
        assert left.is_dir(), "it may be so young that its maker has not locked it yet"
        for folder in (left, kept):
            age(folder, 3600)
        sweep(tmp_path)
        assert [left.exists(), kept.exists()] == [False, True]
    finally:
        living.communicate()
    assert names(home) == []


def test_sweeping_takes_nothing_that_was_made_otherwise(tmp_path: Path) -> None:
    old, young = tmp_path / "credit" / ".compiling-a1_b2", tmp_path / ".digest-a1_b2"
    others = [
        tmp_path / "credit" / name for name in ("1-abc", ".first-1.json", ".1-abc.lock", ".incoming", "incoming-1")
    ]
    for folder in (old, young, *others):
        folder.mkdir(parents=True)
        age(folder, 200_000)
    age(young, 3600)
    sweep(tmp_path)
    assert not old.exists()
    assert young.exists()
    assert all(folder.exists() for folder in others)
    sweep(tmp_path / "that is not there")
