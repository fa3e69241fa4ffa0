"""Models compiled where other versions of their libraries are: as a stranger's model is, in its own environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from uv import find_uv_bin

from tests.debian import install_libgomp

PROGRAM = Path(__file__).with_name("foreign_models.py")
ROOT = Path(__file__).resolve().parents[3]
COMPILER = ("treelite>=4.8", "onnx>=1.20", "skl2onnx>=1.20", "onnxruntime>=1.24", "pydantic>=2.12")
pytestmark = pytest.mark.long


def compiled(group: str, folder: Path, *packages: str) -> dict[str, dict]:
    """Return what is said of each model that is compiled beside those packages."""
    for package in ("compilation", "inference"):
        shutil.copytree(ROOT / package, folder / package)
    command = [find_uv_bin(), "run", "--no-project", "--isolated", "--python", sys.executable]
    for package in (*COMPILER, *packages):
        command += ["--with", package]
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run(
        [*command, "python", str(PROGRAM), str(folder), group],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {line["name"]: line for line in lines}


@pytest.mark.parametrize(
    "packages",
    [
        ("scikit-learn==1.2.2", "numpy==1.26.4", "pandas==1.5.3"),
        ("scikit-learn==1.5.2", "numpy==1.26.4", "pandas==2.2.3"),
        ("scikit-learn==1.7.2", "numpy==2.2.6", "pandas==2.3.3"),
    ],
    ids=lambda packages: packages[0],
)
def test_models_of_older_libraries_are_compiled_beside_them(packages: tuple[str, ...], tmp_path: Path) -> None:
    said = compiled("old", tmp_path, *packages)
    assert len(said) == 17
    assert not {name: line["error"] for name, line in said.items() if "error" in line}
    assert all(line["difference"] <= 1e-6 for line in said.values())
    assert all(line["versions"]["scikit-learn"] == packages[0].partition("==")[2] for line in said.values())


def test_models_of_xgboost_behind_preprocessing_are_compiled(tmp_path: Path) -> None:
    said = compiled("xgboost", tmp_path, "xgboost==3.1.1", "scikit-learn==1.7.2", "pandas==2.3.3")
    assert "missing=-1" in said.pop("other missing")["error"]
    assert {line.get("error") for line in said.values()} == {None}
    for line in said.values():
        assert line["chosen"] == ["onnx-trees"]
        assert line["candidates"]["scikit-learn-matrix"] == "measured"
        assert line["difference"] <= 1e-6


def test_models_of_lightgbm_behind_preprocessing_are_compiled(tmp_path: Path) -> None:
    install_libgomp()
    said = compiled("lightgbm", tmp_path, "lightgbm==4.6.0", "scikit-learn==1.7.2", "pandas==2.3.3")
    assert {line.get("error") for line in said.values()} == {None}
    assert all(line["difference"] <= 1e-9 for line in said.values())
