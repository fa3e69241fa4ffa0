"""Environments with a model's own libraries, made by uv and kept for the next version that needs the same."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import uv as uv_package
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from pydantic import BaseModel, ConfigDict

from registry.incoming import write_settled
from runners.errors import RunnerEnvironmentError

_COMPLETE: Final = ".complete"
_MAKING_SECONDS: Final = 1800.0
_TOLD_CHARACTERS: Final = 600
_MLFLOW: Final = frozenset({"mlflow", "mlflow-skinny", "mlflow-tracing"})
# What uv is told: how to reach the index, and what a package that has to be built needs. Building one runs its
# author's code, which is to find none of this process's keys.
_KEPT_NAMES: Final = frozenset({
    "PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH",
    "NETRC", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
    "CC", "CXX", "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "CPATH", "LIBRARY_PATH", "PKG_CONFIG_PATH",
})  # fmt: skip
_KEPT_PREFIXES: Final = ("UV_", "XDG_")
_UNSET_NAMES: Final = frozenset({"UV_PROJECT_ENVIRONMENT", "UV_PYTHON"})
_FIRST_WITH_PANDAS_3: Final = Version("1.8")  # older scikit-learn does not know pandas 3's text type


class EnvironmentSpecification(BaseModel):
    """What an environment has to hold.

    `python` is the version wanted ("3.11", a patch level is ignored), None for any; `requirements` are lines as in
    requirements.txt. `wheels_only` takes no package that would have to be built, which runs its author's code.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    python: str | None = None
    requirements: tuple[str, ...]
    wheels_only: bool = False

    def key(self) -> str:
        """Return the name of the environment: equal for equal contents on equal machines."""
        wanted = [_minor(self.python), sorted(self.requirements), sys.platform, os.uname().machine]
        wanted += ["wheels only"] if self.wheels_only else []
        return hashlib.sha256(json.dumps(wanted).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class EnvironmentMade:
    """An environment that is there.

    `python` is its interpreter, `is_exact` whether that is of the version wanted, `notes` what differs and why.
    """

    python: Path
    is_exact: bool
    notes: tuple[str, ...] = ()


def make_environment(
    specification: EnvironmentSpecification, root: Path, *, uv: Path | None = None
) -> EnvironmentMade:
    """Return the environment, made under `root` unless it is there.

    Two processes that want the same make it once; one that was killed half way is made again. The Python wanted is
    looked for on this machine and never downloaded; where it is missing, our own takes its place, and the notes say
    so.

    Args:
        specification: What it has to hold.
        root: Where environments are kept.
        uv: The program that makes them; by default the one installed with us.

    Raises:
        RunnerEnvironmentError: A requirement is no named package, cannot be found, or does not fit the others.
    """
    check_requirements(specification.requirements)
    program = Path(uv_package.find_uv_bin()) if uv is None else uv
    folder = root.absolute() / specification.key()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_name(f".{folder.name}.lock")) as lock:
        made = _read(folder)
        if made is None:
            shutil.rmtree(folder, ignore_errors=True)
            made = _make(specification, folder, _Uv(program, folder.parent, lock))
            marker = {"is_exact": made.is_exact, "notes": made.notes}
            os.sync()  # thousands of files, of which some may be in uv's cache as well: one call for all
            write_settled(folder / _COMPLETE, json.dumps(marker))
    return made


def lean_requirements(requirements: Sequence[str], flavour: str) -> tuple[str, ...]:
    """Return the requirements a model's process has.

    Models of a library that MLflow merely wraps are loaded without MLflow, which would be most of the environment.
    pandas, which often came only by way of it, is named instead, at a version that fits the model's scikit-learn.

    Raises:
        RunnerEnvironmentError: A requirement is no named package.
    """
    if flavour == "python_function":
        return tuple(requirements)
    parsed = [(line, _parse(line)) for line in requirements]
    kept = [line for line, one in parsed if canonicalize_name(one.name) not in _MLFLOW]
    names = {canonicalize_name(one.name): one for _, one in parsed}
    if "pandas" not in names:
        kept.append("pandas" if _knows_pandas_3(names.get(canonicalize_name("scikit-learn"))) else "pandas<3")
    if "cloudpickle" not in names:
        kept.append("cloudpickle")
    return tuple(kept)


def check_requirements(requirements: Sequence[str]) -> None:
    """Raise RunnerEnvironmentError unless every line names a package of the index, and nothing else."""
    for line in requirements:
        _parse(line)


def _parse(line: str) -> Requirement:
    text = re.split(r"\s#", line, maxsplit=1)[0].strip()
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        raise _no_package(line) from None
    if requirement.url is not None:
        raise _no_package(line)
    return requirement


def _no_package(line: str) -> RunnerEnvironmentError:
    return RunnerEnvironmentError(
        f"the requirement {line[:200]!r} is no package of the index with its versions; paths, addresses and "
        "options of pip are not followed: log the model with pip_requirements that are, its own code in code_paths"
    )


def _knows_pandas_3(sklearn: Requirement | None) -> bool:
    pins = [one.version for one in sklearn.specifier if one.operator in {"==", "==="}] if sklearn else []
    try:
        return not pins or Version(pins[0].removesuffix(".*")) >= _FIRST_WITH_PANDAS_3
    except InvalidVersion:
        return True


def _read(folder: Path) -> EnvironmentMade | None:
    python = folder / "bin" / "python"
    try:
        marker = json.loads((folder / _COMPLETE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not python.exists():  # the interpreter it was made from is gone
        return None
    return EnvironmentMade(python, bool(marker["is_exact"]), tuple(marker["notes"]))


@dataclass(frozen=True, slots=True)
class _Uv:
    """The program `path`, run in `folder`; it holds `lock` too, so that one that outlives us is waited for."""

    path: Path
    folder: Path
    lock: IO[str]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if (name.upper() in _KEPT_NAMES or name.startswith(_KEPT_PREFIXES)) and name not in _UNSET_NAMES
        }
        try:
            return subprocess.run(  # noqa: S603 - our own uv; requirements are checked and read from a file
                [str(self.path), "--no-progress", "--color", "never", *arguments],
                cwd=self.folder,
                env=kept | {"UV_PYTHON_DOWNLOADS": "never"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=_MAKING_SECONDS,
                pass_fds=(self.lock.fileno(),),
            )
        except subprocess.TimeoutExpired as error:
            raise RunnerEnvironmentError(
                f"uv did not make the environment within {_MAKING_SECONDS:.0f} s"
            ) from error
        except OSError as error:
            raise RunnerEnvironmentError(f"uv cannot be run ({error.strerror}): {self.path}") from error


def _make(specification: EnvironmentSpecification, folder: Path, uv: _Uv) -> EnvironmentMade:
    wanted = _minor(specification.python)
    base = sys.executable
    notes: tuple[str, ...] = ()
    if wanted is not None and wanted != f"{sys.version_info.major}.{sys.version_info.minor}":
        found = uv.run("python", "find", "--no-project", wanted)
        if found.returncode == 0:
            base = found.stdout.strip()
        else:
            ours = ".".join(map(str, sys.version_info[:2]))
            notes = (f"Python {wanted} is not on this machine; Python {ours} takes its place",)
    made = uv.run("venv", "--no-project", "--python", base, str(folder))
    python = folder / "bin" / "python"
    if made.returncode == 0 and specification.requirements:
        listed = folder / "requirements.txt"
        lines = [
            str(_parse(line)) for line in specification.requirements
        ]  # what was checked, and nothing beside it
        listed.write_text("\n".join([*lines, ""]), encoding="utf-8")
        wheels = ["--only-binary", ":all:"] if specification.wheels_only else []
        made = uv.run("pip", "install", *wheels, "--python", str(python), "-r", str(listed))
    if made.returncode != 0:
        shutil.rmtree(folder, ignore_errors=True)
        told = " ".join(made.stderr.split())
        replaced = f" ({notes[0]})" if notes else ""
        raise RunnerEnvironmentError(
            f"the environment with {_listed(specification.requirements)} could not be made"
            f"{replaced}: {told[-_TOLD_CHARACTERS:]}; "
            "see whether the package index is reachable and has these versions for this Python "
            "(uv's own settings apply, such as UV_DEFAULT_INDEX)"
        )
    return EnvironmentMade(python, not notes, notes)


def _listed(requirements: Sequence[str]) -> str:
    shown = ", ".join(requirements[:5])
    return f"{shown} and {len(requirements) - 5} more" if len(requirements) > 5 else shown or "no packages"


def _minor(python: str | None) -> str | None:
    """Return "3.11" of "3.11.4"; None where there is no version."""
    found = re.match(r"\d+\.\d+", python or "")
    return found.group(0) if found else None


@contextmanager
def locked(path: Path) -> Iterator[IO[str]]:
    """Hold the lock of the file `path`, which is made; yield it open, for a child that is to hold it as well."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
