from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from training import provenance
from training.provenance import code_commit, git_commit


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


@pytest.mark.parametrize("is_tracked", [True, False])
def test_the_code_has_a_commit_only_where_it_is_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_tracked: bool
) -> None:
    """Installed into an environment that lies in somebody's project, it must not be given that project's commit."""
    _git(tmp_path, "init", "--quiet")
    code = tmp_path / "lib" / "provenance.py"
    code.parent.mkdir()
    shutil.copy(provenance.__file__, code)
    (tmp_path / "theirs.txt").write_text("a")
    _git(tmp_path, "add", "theirs.txt", *(["lib"] if is_tracked else []))
    _git(tmp_path, "commit", "--quiet", "--no-gpg-sign", "--no-verify", "-m", "one")
    monkeypatch.setattr(provenance, "__file__", str(code))

    assert code_commit() == (_git(tmp_path, "rev-parse", "HEAD") if is_tracked else None)
