"""A wheel of our own on a folder that uv takes for its index, so that no test here needs the network."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

TABLE = "name,age\nada,36\nalan,41\n"


@dataclass(frozen=True)
class Carrier:
    """A wheel `carrier==1.0` that holds `carrier/data/people.csv` and does not want to be installed anywhere."""

    path: Path
    sha256: str


@pytest.fixture
def make_carrier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Carrier]:
    index = tmp_path / "index"
    monkeypatch.setenv("UV_FIND_LINKS", str(index))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))

    def make() -> Carrier:
        index.mkdir(exist_ok=True)
        info = "carrier-1.0.dist-info"
        files = {
            # Importing it would fail the test.
            "carrier/__init__.py": "raise RuntimeError('a data carrier was imported')\n",
            "carrier/data/people.csv": TABLE,
            # The interpreter that runs the tests is newer than this.
            f"{info}/METADATA": "Metadata-Version: 2.1\nName: carrier\nVersion: 1.0\nRequires-Python: <3.13\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        rows = [f"{name},{_recorded(text)},{len(text)}" for name, text in files.items()]
        files[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,"]) + "\n"
        path = index / "carrier-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            for name, text in files.items():
                wheel.writestr(name, text)
        return Carrier(path, hashlib.sha256(path.read_bytes()).hexdigest())

    return make


def _recorded(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).decode().rstrip("=")
