"""What the bento and the wheel hold beside modules: files that the code opens must be where the code is."""

from __future__ import annotations

import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from bentoml._internal.bento.build_config import BentoPathSpec
from uv import find_uv_bin

ROOT = Path(__file__).resolve().parents[1]
OFFLINE = {"cli", "training"}


def packages() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found: list[str] = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    return found


def shipped(*, serving_only: bool) -> set[str]:
    """Return the files of our packages, relative to the root, without what running them leaves there."""
    return {
        str(path.relative_to(ROOT))
        for package in packages()
        if not (serving_only and package in OFFLINE)
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def bento() -> BentoPathSpec:
    config = yaml.safe_load((ROOT / "bentofile.yaml").read_text())
    return BentoPathSpec(config["include"], config["exclude"], str(ROOT))


def test_the_bento_holds_every_file_of_the_packages_that_serve(bento: BentoPathSpec) -> None:
    wanted = shipped(serving_only=True) | {"service.py", "LICENSE", "README.md"}
    assert {"inference/inference.desc", "bentos/requirements.txt"} <= wanted
    assert {path for path in wanted if not bento.includes(path)} == set()


def test_the_bento_holds_nothing_else(bento: BentoPathSpec) -> None:
    for path in ("tests/test_shipped.py", "docs/README.md", "cli/README.md", "training/train.py", "bentos/a.pyc"):
        assert not bento.includes(path), path


def test_the_wheel_holds_every_file_of_every_package(tmp_path: Path) -> None:
    command = [find_uv_bin(), "build", "--wheel", "--quiet", "--out-dir", str(tmp_path), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        held = set(opened.namelist())
        wanted = shipped(serving_only=False)
        assert wanted - held == set()
        assert {name for name in held if ".dist-info/" not in name} == wanted
        assert opened.read("inference/inference.desc") == (ROOT / "inference" / "inference.desc").read_bytes()
