"""Where a version comes from: data, code, parameters, libraries and gates, as far as somebody still knows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel, ConfigDict

from registry.errors import GateRecordError, RegistryError
from registry.gate_record import GateRecord
from registry.registry import Registry
from registry.training_run import TrainingRun
from replay.exact_version import ExactVersion, Registered

_COMMITS: Final = {"project": "mlflow.source.git.commit", "fairmind": "fairmind.code"}
_DATA_TAG: Final = "fairmind.data"


class Environment(BaseModel):
    """The Python and the libraries that a version was made with, as its own files say."""

    model_config = ConfigDict(frozen=True)

    python: str | None = None
    libraries: tuple[str, ...] = ()


class Lineage(BaseModel):
    """Where a version comes from.

    `data` is the fingerprint of the table that it was trained on, `code` the commit of the project that trained it
    and that of this platform, `gates` what they measured. `unknown` names what nobody could be asked for.
    """

    model_config = ConfigDict(frozen=True)

    run_id: str | None = None
    registered_at: datetime | None = None
    data: str | None = None
    data_sets: dict[str, str] = {}
    code: dict[str, str] = {}
    parameters: dict[str, str] = {}
    environment: Environment = Environment()
    gates: tuple[dict[str, Any], ...] = ()
    tags: dict[str, str] = {}
    unknown: str = ""


def lineage_of(version: ExactVersion, registry: Registry) -> Lineage:
    """Return the lineage: from the registry, and what the version's files say where it is away."""
    found, folder = version.found, version.folder
    run_id = found.run_id if found is not None else _run_of_files(folder)
    run, unknown = _run(registry, run_id, version.registered)
    tags = {} if found is None else {key: value for key, value in found.tags.items() if key != "fairmind.gates"}
    commits = {} if run is None else {name: run.tags[tag] for name, tag in _COMMITS.items() if tag in run.tags}
    return Lineage(
        run_id=run_id,
        registered_at=None if found is None else found.created_at,
        data=tags.get(_DATA_TAG),
        data_sets={} if run is None else dict(run.data),
        code=commits,
        parameters={} if run is None else dict(run.params),
        environment=_environment(folder),
        gates=_gates(version),
        tags=tags,
        unknown=unknown,
    )


def _run(registry: Registry, run_id: str | None, registered: Registered) -> tuple[TrainingRun | None, str]:
    if run_id is None:
        return None, "no run is known that made this version: data, code and parameters are not known"
    if registered is Registered.NOT_KNOWN:
        return None, "the registry is away: data, code and parameters are not known now"
    try:
        run = registry.run(run_id)
    except RegistryError:
        return None, "the tracking server is away: code and parameters are not known now"
    return run, "" if run is not None else "its run was deleted: code and parameters are not known"


def _gates(version: ExactVersion) -> tuple[dict[str, Any], ...]:
    record: GateRecord | None = None
    try:
        if version.found is not None:
            record = GateRecord.from_version(version.found)
        elif version.folder is not None:
            text = (version.folder / "fairmind" / "gates.json").read_text(encoding="utf-8")
            record = GateRecord.model_validate_json(text)
    except (GateRecordError, OSError, ValueError):
        return ()
    return () if record is None else tuple(one.model_dump(mode="json") for one in record.results)


def _environment(folder: Path | None) -> Environment:
    if folder is None:
        return Environment()
    libraries = [line.strip() for line in _text(folder / "requirements.txt").splitlines()]
    python = _yaml(folder / "python_env.yaml").get("python")
    return Environment(
        python=None if python is None else str(python),
        libraries=tuple(line for line in libraries if line and not line.startswith(("#", "-"))),
    )


def _run_of_files(folder: Path | None) -> str | None:
    run_id = None if folder is None else _yaml(folder / "MLmodel").get("run_id")
    return None if run_id is None else str(run_id)


def _yaml(path: Path) -> Mapping[str, Any]:
    try:
        found = yaml.safe_load(_text(path))
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
