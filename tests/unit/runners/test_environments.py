"""Environments are made once, whole, and only of named packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from runners.environments import EnvironmentSpecification, lean_requirements, make_environment
from runners.errors import RunnerEnvironmentError

OURS = ".".join(map(str, sys.version_info[:2]))
EMPTY = EnvironmentSpecification(python=f"{OURS}.99", requirements=())


def test_an_environment_is_made_once(tmp_path: Path) -> None:
    made = make_environment(EMPTY, tmp_path)
    assert made.is_exact
    program = "import sys; print(sys.prefix != sys.base_prefix, *sys.version_info[:2], sep='.')"
    done = subprocess.run([made.python, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"True.{OURS}"
    before = made.python.lstat().st_mtime_ns
    assert make_environment(EMPTY, tmp_path) == made
    assert made.python.lstat().st_mtime_ns == before


def test_one_that_was_left_half_made_is_made_again(tmp_path: Path) -> None:
    made = make_environment(EMPTY, tmp_path)
    folder = made.python.parents[1]
    (folder / ".complete").unlink()
    (folder / "left over").touch()
    assert make_environment(EMPTY, tmp_path) == made
    assert not (folder / "left over").exists()


def test_a_python_that_is_not_here_is_replaced_and_the_notes_say_so(tmp_path: Path) -> None:
    made = make_environment(EnvironmentSpecification(python="3.4.1", requirements=()), tmp_path)
    assert not made.is_exact
    assert made.notes == (f"Python 3.4 is not on this machine; Python {OURS} takes its place",)
    assert make_environment(EnvironmentSpecification(python="3.4", requirements=()), tmp_path) == made


def test_what_is_wanted_names_the_environment() -> None:
    one = EnvironmentSpecification(python="3.11.4", requirements=("a==1", "b"))
    assert one.key() == EnvironmentSpecification(python="3.11", requirements=("b", "a==1")).key()
    assert one.key() != EnvironmentSpecification(python="3.12", requirements=("b", "a==1")).key()
    assert one.key() != EnvironmentSpecification(python="3.11", requirements=("b", "a==2")).key()


@pytest.mark.parametrize(
    "line",
    [
        "-e .",
        "./wheels/model.whl",
        "/srv/model",
        "git+https://example.com/model",
        "model @ https://example.com/model.whl",
        "--index-url https://example.com",
        "-r more.txt",
    ],
)
def test_a_requirement_that_is_no_package_of_the_index_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(RunnerEnvironmentError, match="is no package of the index"):
        make_environment(EnvironmentSpecification(requirements=("six", line)), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_cannot_be_had_is_named_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    wanted = EnvironmentSpecification(requirements=("fairmind-has-no-such-package==4",))
    with pytest.raises(RunnerEnvironmentError, match=r"with fairmind-has-no-such-package==4 could not be made"):
        make_environment(wanted, tmp_path / "root")
    assert [path.name for path in (tmp_path / "root").iterdir() if path.is_dir()] == []


def test_a_program_that_is_not_uv_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(RunnerEnvironmentError, match="uv cannot be run"):
        make_environment(EMPTY, tmp_path, uv=tmp_path / "no uv")


def test_a_wrapped_library_needs_no_mlflow() -> None:
    saved = ["mlflow==2.9.2", "cloudpickle==3.0.0", "numpy==1.26.4", "scikit_learn==1.3.2  # as fitted", "psutil"]
    kept = ("cloudpickle==3.0.0", "numpy==1.26.4", "scikit_learn==1.3.2  # as fitted", "psutil")
    assert lean_requirements(saved, "sklearn") == (*kept, "pandas<3")
    assert lean_requirements(saved, "python_function") == tuple(saved)
    assert lean_requirements(["scikit-learn==1.9.0", "pandas==2.3.1"], "sklearn") == (
        "scikit-learn==1.9.0",
        "pandas==2.3.1",
        "cloudpickle",
    )
    assert "pandas" in lean_requirements(["xgboost==3.0.0"], "xgboost")
