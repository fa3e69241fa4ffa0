"""The peers' environments: one each, made by uv from pinned requirements, never from the project's lock."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from uv import find_uv_bin

from loadtests.bench.models import BUILD, Say
from loadtests.errors import PeerMissingError

PEERS: Final = Path(__file__).parent / "peers"
_COMPLETE: Final = "complete"
_INSTALL_SECONDS: Final = 1_800.0


def ensure_environment(name: str, say: Say) -> Path:
    """Return the folder of a peer's programs; the environment is made when it is absent or its pins have changed.

    Raises:
        PeerMissingError: It cannot be made; uv's last line says why.
    """
    requirements = PEERS / name / "requirements.txt"
    folder = BUILD / name
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    mark = folder / _COMPLETE
    if not (mark.is_file() and mark.read_text(encoding="utf-8") == wanted):
        say(f"installing {name} into {folder} ({len(requirements.read_text(encoding='utf-8').split())} packages)")
        shutil.rmtree(folder, ignore_errors=True)
        _uv(name, "venv", "--python", sys.executable, str(folder))
        _uv(name, "pip", "install", "--python", str(folder / "bin" / "python"), "--requirement", str(requirements))
        mark.write_text(wanted, encoding="utf-8")
    return folder.absolute() / "bin"


def pinned_versions(name: str) -> dict[str, str]:
    """Return what a peer's environment holds, by package."""
    lines = (PEERS / name / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.partition(";")[0].strip().partition("==") for line in lines if "==" in line)
    return {package: version for package, _, version in pairs}


def _uv(name: str, *arguments: str) -> None:
    command = [find_uv_bin(), *arguments, "--quiet"]
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    try:
        subprocess.run(  # noqa: S603 - our own command
            command, env=environment, capture_output=True, text=True, check=True, timeout=_INSTALL_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise PeerMissingError(name, f"not done within {_INSTALL_SECONDS:.0f} s") from error
    except subprocess.CalledProcessError as error:
        raise PeerMissingError(name, (error.stderr.strip().splitlines() or ["uv said nothing"])[-1]) from error
