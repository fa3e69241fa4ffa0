"""Environments are made once, whole, and only of named packages."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runners.environments import EnvironmentSpecification, lean_requirements, make_environment
from runners.errors import RunnerEnvironmentError

ROOT = Path(__file__).resolve().parents[3]
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


UV = """#!/bin/sh
env > "$0.env"
echo "$@" >> "$0.arguments"
for last; do :; done
case "$4" in
venv) mkdir -p "$last/bin" && touch "$last/bin/python" ;;
pip) cp "$last" "$0.listed" ;;
esac
"""
"""Stands in for uv, and keeps what it was told."""


def fake_uv(folder: Path, then: str = "") -> Path:
    path = folder / "uv"
    path.write_text(UV + then)
    path.chmod(0o700)
    return path


@pytest.mark.parametrize("line", ["six #\n-e /srv/model", "six #\r--index-url https://example.com"])
def test_a_comment_hides_no_other_line(tmp_path: Path, line: str) -> None:
    make_environment(EnvironmentSpecification(requirements=(line,)), tmp_path / "root", uv=fake_uv(tmp_path))
    assert (tmp_path / "uv.listed").read_text() == "six\n"


def test_what_is_built_sees_none_of_this_process_s_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "FAIRMIND_DATABASE_URL", "MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://example.com/simple")
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    make_environment(EnvironmentSpecification(requirements=("six",)), tmp_path / "root", uv=fake_uv(tmp_path))
    seen = (tmp_path / "uv.env").read_text()
    assert "secret" not in seen
    assert "UV_DEFAULT_INDEX=https://example.com/simple\n" in seen
    assert "https_proxy=http://proxy:3128\n" in seen


def test_where_only_wheels_are_taken_nothing_is_built_and_the_environment_is_another(tmp_path: Path) -> None:
    wheels = EnvironmentSpecification(requirements=("six",), wheels_only=True)
    make_environment(wheels, tmp_path / "root", uv=fake_uv(tmp_path))
    assert "pip install --only-binary :all: " in (tmp_path / "uv.arguments").read_text()
    assert wheels.key() != EnvironmentSpecification(requirements=("six",)).key()


def test_what_goes_on_after_its_maker_was_killed_is_waited_for(tmp_path: Path) -> None:
    uv = fake_uv(tmp_path, 'touch "$0.begun"; [ -e "$0.done" ] || sleep 600\n')
    maker = """
import sys
from pathlib import Path
from runners.environments import EnvironmentSpecification, make_environment
make_environment(EnvironmentSpecification(requirements=("six",)), Path(sys.argv[1]), uv=Path(sys.argv[2]))
"""
    root = tmp_path / "root"
    with subprocess.Popen([sys.executable, "-c", maker, str(root), str(uv)], cwd=ROOT) as process:
        deadline = time.monotonic() + 30
        while not (tmp_path / "uv.begun").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.kill()
    (uv_id,) = map(int, children)
    (lock,) = root.glob(".*.lock")
    try:
        with lock.open("w") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        sleeping = Path(f"/proc/{uv_id}/task/{uv_id}/children").read_text().split()
        for number in (uv_id, *map(int, sleeping)):
            os.kill(number, signal.SIGKILL)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)


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
