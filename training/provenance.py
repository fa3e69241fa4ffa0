"""Which code was it: the git commit of the project that trained, and of the code that did it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path


def git_commit(folder: Path) -> str | None:
    """Return the commit checked out in `folder`, with `-dirty` after it when files differ; None outside of git."""
    git = shutil.which("git")
    if git is None:
        return None
    commit = _said(git, folder, "rev-parse", "HEAD")
    if not commit:
        return None
    changed = _said(git, folder, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}-dirty" if changed else commit


def code_commit() -> str | None:
    """Return the commit of this code; None where it is no checkout, though it may lie inside another project's."""
    git, here = shutil.which("git"), Path(__file__).resolve()
    if git is None or not _said(git, here.parent, "ls-files", "--", here.name):
        return None
    return git_commit(here.parent)


def commit_tags() -> dict[str, str]:
    """Return the tags of a run that name the commits, where there are any."""
    # MLflow's name means the project that trained, which is where the command was called; ours means this code.
    commits = {"mlflow.source.git.commit": git_commit(Path.cwd()), "fairmind.code": code_commit()}
    return {name: commit for name, commit in commits.items() if commit}


def _said(git: str, folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program with fixed arguments
            [git, "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
