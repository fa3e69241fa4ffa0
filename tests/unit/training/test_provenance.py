from __future__ import annotations

import subprocess
from pathlib import Path

from training.provenance import git_commit


def _git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_is_named_and_changes_are_said(tmp_path: Path) -> None:
    _git(tmp_path, "init", "--quiet")
    (tmp_path / "a.txt").write_text("a")
    _git(tmp_path, "add", "a.txt")
    _git(tmp_path, "commit", "--quiet", "--no-gpg-sign", "--no-verify", "-m", "one")
    commit = _git(tmp_path, "rev-parse", "HEAD")

    assert git_commit(tmp_path) == commit
    (tmp_path / "a.txt").write_text("b")
    assert git_commit(tmp_path) == f"{commit}-dirty"


def test_outside_of_git_there_is_no_commit(tmp_path: Path) -> None:
    assert git_commit(tmp_path) is None


def test_a_repository_without_a_commit_has_none(tmp_path: Path) -> None:
    _git(tmp_path, "init", "--quiet")

    assert git_commit(tmp_path) is None
