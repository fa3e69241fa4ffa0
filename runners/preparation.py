"""From the files of a foreign model version to a folder that a serving worker can load: the version in a runner."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from inference.decision import Decision
from inference.loading import DECISION_FILE, SIGNATURE_FILE
from registry.incoming import incoming, place
from runners.environments import EnvironmentSpecification, lean_requirements, locked, make_environment
from runners.errors import MlModelError, UntrustedModelError
from runners.mlmodel import HARMLESS_TYPES, MlModel, read_mlmodel
from runners.policy import RunnerPolicy
from runners.process import RunnerProcess
from runners.schema import Description, foreign_signature
from runners.specification import SPECIFICATION_FILE, RunnerSpecification

FAIRMIND_FOLDER: Final = "fairmind"

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Preparer:
    """Prepares versions of one registry.

    `environments` is where environments are made. `address` is the registry's, and `is_trusted` says whether code
    that comes with its versions may run; without that only data in well-known libraries does, none of which is
    built here. `policy` bounds the process that a version is started in to be described.
    """

    environments: Path
    address: str
    is_trusted: bool
    policy: RunnerPolicy | None = None

    def prepare(self, source: Path, into: Path, tell: Tell = lambda _: None) -> Path:
        """Make `into` the prepared form of the MLflow model in `source`, and return it; one that is there is kept.

        Takes seconds to minutes, most of them for the environment; `tell` hears what is being done. The folder
        appears when it is complete; two processes that prepare the same version do it once.

        Raises:
            UntrustedModelError: The version brings code and its registry is not trusted.
            MlModelError: It is no MLflow model that can be served.
            RunnerEnvironmentError: Its environment cannot be made.
            RunnerStartError: It does not load in it.
        """
        into.parent.mkdir(parents=True, exist_ok=True)
        with locked(into.with_name(f".{into.name}.lock")):
            if self.is_ready(into):
                return into
            model = read_mlmodel(source)
            specification = self.specify(model, tell)
            tell("it is being loaded for the first time")
            described = describe(model, specification, self.policy)
            with incoming(into.parent) as made:
                _write(made / FAIRMIND_FOLDER, model, specification, described)
                shutil.rmtree(into, ignore_errors=True)
                place(made, into)
        return into

    def is_ready(self, folder: Path) -> bool:
        """Return whether the folder holds a prepared version that is still there, and may still run."""
        specification = _prepared(folder)
        return specification is not None and (self.is_trusted or not specification.runs_code)

    def requirements(self, model: MlModel) -> tuple[str, ...]:
        """Return those of the model's requirements that may be installed for it."""
        return model.requirements if self.is_trusted else model.harmless_requirements()

    def specify(
        self, model: MlModel, tell: Tell = lambda _: None, extra: tuple[str, ...] = ()
    ) -> RunnerSpecification:
        """Return how the model is run, its environment made, which holds `extra` requirements beside its own.

        Raises:
            UntrustedModelError: As for `prepare`.
            RunnerEnvironmentError: Its environment cannot be made.
        """
        held = model.code()
        if held and not self.is_trusted:
            raise UntrustedModelError(held, self.address)
        tell("its environment is being made")
        wanted = EnvironmentSpecification(
            python=model.python,
            requirements=(*lean_requirements(self.requirements(model), model.flavour), *extra),
            wheels_only=not self.is_trusted,
        )
        made = make_environment(wanted, self.environments)
        trusted = (
            model.trusted_types if self.is_trusted else sorted(HARMLESS_TYPES.intersection(model.trusted_types))
        )
        return RunnerSpecification(
            python=made.python,
            model=model.folder.absolute(),
            data=model.data,
            runs_code=bool(held),
            flavour=model.flavour,
            code_paths=model.code_paths,
            loader_module=model.loader_module,
            serialization=model.serialization,
            trusted_types=tuple(trusted),
            inputs=model.inputs,
            params=model.params,
        )


def describe(model: MlModel, specification: RunnerSpecification, policy: RunnerPolicy | None = None) -> Description:
    """Return what the model says of itself once it is loaded, in a process that is ended afterwards.

    Raises:
        RunnerStartError: It does not load.
        MlModelError: What it says makes no sense.
    """
    process = RunnerProcess(specification, policy)
    try:
        return Description.model_validate(process.describe())
    except ValidationError as error:
        raise MlModelError(model.folder, "what it says of itself makes no sense") from error
    finally:
        process.close()


def _prepared(folder: Path) -> RunnerSpecification | None:
    """Return how the version prepared there is run; None unless its model and interpreter are still there."""
    try:
        text = (folder / FAIRMIND_FOLDER / SPECIFICATION_FILE).read_bytes()
        specification = RunnerSpecification.model_validate_json(text)
    except (OSError, ValidationError):
        return None
    return specification if specification.python.exists() and specification.model.is_dir() else None


def _write(folder: Path, model: MlModel, specification: RunnerSpecification, described: Description) -> None:
    signature = foreign_signature(model, described)
    folder.mkdir(parents=True)
    (folder / SIGNATURE_FILE).write_text(signature.model_dump_json(indent=1), encoding="utf-8")
    (folder / DECISION_FILE).write_text(Decision(threshold=described.threshold).model_dump_json(), encoding="utf-8")
    (folder / SPECIFICATION_FILE).write_text(specification.model_dump_json(indent=1), encoding="utf-8")
