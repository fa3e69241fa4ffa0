"""A foreign version compiled, proven and profiled by hand; and any version's compiled form proven again."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bentos.version_folders import is_ours
from compilation.parity import Proof
from compilation.verify import verify
from database.home import Home
from inference.errors import CompileError, ParityError
from inference.loading import SIGNATURE_FILE
from inference.signature import Signature
from registry.digest import digest_folder
from registry.errors import ReadOnlyRegistryError, RegistryError
from registry.model_cache import ModelCache
from registry.reference import Reference
from registry.registry import Registry
from registry.versions import DIGEST_TAG, ModelVersion
from remotes.definition import is_remote
from runners.adoption import Compiler, load_data
from runners.boosters import BOOSTERS, compile_booster, verify_booster
from runners.compiled import CompiledCache
from runners.errors import AdoptionError
from runners.mlmodel import MlModel, read_mlmodel
from runners.preparation import FAIRMIND_FOLDER, Preparer
from runners.rows import Rows, rows_of_example, rows_of_table

if TYPE_CHECKING:
    import pandas as pd

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of somebody's own to prove a version on, and what they are called."""

    frame: pd.DataFrame
    origin: str


@dataclass(frozen=True, slots=True)
class Adopted:
    """What became of a version: compiled, with its proof, or not, with the reason; it is served either way.

    `copied` says whether the registry has the compiled form now; `note` why it has not, where it was to.
    """

    version: ModelVersion
    folder: Path
    proof: Proof | None = None
    reason: str | None = None
    copied: bool = False
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Adoptions:
    """Adopts and verifies the versions of a deployment's registry."""

    home: Home
    registry: Registry
    preparer: Preparer

    def adopt(self, reference: Reference, table: Table | None, *, local: bool, tell: Tell) -> Adopted:
        """Return what became of the version; services that serve it take the compiled form within seconds.

        Args:
            reference: The version.
            table: Rows to prove it on; None takes the input example that was saved with it.
            local: Leave the registry as it is.
            tell: Hears what is being done.

        Raises:
            AdoptionError: It is one of ours, or there are no rows to prove it on.
            RunnerError: It cannot be run at all: no MLflow model, no trust, no environment, it does not load.
        """
        version, source = self._fetch(reference)
        if is_ours(source):
            raise AdoptionError(
                f"{version} has a compiled form already; `fairmind models verify {version}` proves it again"
            )
        model = read_mlmodel(source)
        prepared = self._prepare(source, tell)
        signature = _signature(prepared)
        rows = _rows(model, signature, table, str(version))
        digest = digest_folder(source)
        self.home.compiled.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.home.compiled, prefix=".compiling-") as temporary:
            made = Path(temporary) / "made"
            made.mkdir()
            try:
                proof = self._compile(model, prepared, rows, made, tell)
            except (CompileError, ParityError) as error:
                return Adopted(version, prepared, reason=str(error))
            folder = CompiledCache(self.home.compiled).put(digest, made)
        if local:
            return Adopted(version, folder, proof)
        try:
            self._copy(version, source, folder, tell)
        except RegistryError as error:
            return Adopted(version, folder, proof, note=f"it stays on this machine: {error}")
        return Adopted(version, folder, proof, copied=True)

    def verify(self, reference: Reference, table: Table | None, *, tell: Tell) -> tuple[ModelVersion, Proof]:
        """Return the version and a new proof of its compiled form against its registered model.

        Raises:
            AdoptionError: It has no compiled form, or there are no rows to prove it on.
            ParityError: It does not answer as the model does.
            DigestMismatchError: Its files are not the ones that were registered.
            RuntimeLoadError: What is stored cannot be loaded.
        """
        version, source = self._fetch(reference)
        folder = source if is_ours(source) else CompiledCache(self.home.compiled).find(digest_folder(source))
        if folder is None:
            raise AdoptionError(f"{version} has no compiled form; `fairmind models adopt {version}` makes one")
        model = read_mlmodel(source)
        signature = _signature(folder)
        rows = _rows(model, signature, table, str(version))
        if model.flavour in BOOSTERS:
            return version, verify_booster(folder, self._prepare(source, tell), rows, self.preparer.policy)
        registered = load_data(model)
        if registered is None:
            return version, Compiler(self.preparer).verify(model, folder, signature, rows, tell)
        tell(f"it is compared on {rows.count:,} rows")
        return version, verify(folder, registered, rows.frame(signature))

    def _fetch(self, reference: Reference) -> tuple[ModelVersion, Path]:
        version = self.registry.find(reference)
        source = ModelCache(self.home.models).fetch(self.registry, version)
        if is_remote(source):
            raise AdoptionError(f"{version} is a remote variant: only its server has its model")
        return version, source

    def _prepare(self, source: Path, tell: Tell) -> Path:
        return self.preparer.prepare(source, self.home.prepared / source.parent.name / source.name, tell)

    def _compile(self, model: MlModel, prepared: Path, rows: Rows, into: Path, tell: Tell) -> Proof:
        if model.flavour in BOOSTERS:
            tell(f"it is compiled and compared on {rows.count:,} rows")
            return compile_booster(model, prepared, rows, into, self.preparer.policy)
        return Compiler(self.preparer).compile(model, _signature(prepared), rows, into, tell)

    def _copy(self, version: ModelVersion, source: Path, folder: Path, tell: Tell) -> None:
        """Put the compiled form into the registry, where other services find it, under a digest of the whole."""
        tell("it is copied to the registry")
        with tempfile.TemporaryDirectory(dir=self.home.compiled, prefix=".digest-") as temporary:
            whole = Path(temporary) / "whole"
            shutil.copytree(source, whole)
            shutil.copytree(folder / FAIRMIND_FOLDER, whole / FAIRMIND_FOLDER, dirs_exist_ok=True)
            digest = digest_folder(whole)
            # Its signature is what tells a version of ours: it comes when the rest is there, however this ends.
            rest, last = Path(temporary) / "rest", Path(temporary) / "last"
            shutil.copytree(folder / FAIRMIND_FOLDER, rest)
            last.mkdir()
            (rest / SIGNATURE_FILE).rename(last / SIGNATURE_FILE)
            self.registry.add_files(version, rest, FAIRMIND_FOLDER)
            self.registry.add_files(version, last, FAIRMIND_FOLDER)
        try:
            self.registry.set_tag(version.name, version.version, DIGEST_TAG, digest)
        except RegistryError as error:
            raise ReadOnlyRegistryError("this deployment", f"the digest was not recorded ({error})") from error


def _signature(folder: Path) -> Signature:
    return Signature.model_validate_json((folder / FAIRMIND_FOLDER / SIGNATURE_FILE).read_bytes())


def _rows(model: MlModel, signature: Signature, table: Table | None, version: str) -> Rows:
    if table is not None:
        return rows_of_table(table.frame, signature, table.origin)
    rows = rows_of_example(model, signature)
    if rows is None:
        raise AdoptionError(
            f"{version} was saved without an input example: there are no rows to prove it on; "
            "give some with --data FILE (the columns the model takes; CSV or Parquet)"
        )
    return rows
