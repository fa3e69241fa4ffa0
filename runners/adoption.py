"""Compiling a foreign version in its own environment, and proving what was compiled again."""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import compilation
import inference
from compilation.parity import Proof
from inference.errors import CompileError, InferenceError, ParityError, RuntimeLoadError
from inference.signature import ColumnType, Signature
from runners.errors import RunnerEnvironmentError, UntrustedModelError
from runners.mlmodel import HARMLESS_TYPES, MlModel
from runners.preparation import FAIRMIND_FOLDER, Preparer, Tell
from runners.process import child_environment
from runners.rows import Rows, write_profile
from runners.specification import RunnerSpecification

_CHILD: Final = Path(__file__).with_name("compile_child.py")
_STAGED: Final = {package.__name__: Path(package.__path__[0]) for package in (compilation, inference)}
"""What of ours runs beside the model, in its environment, by name."""
_SECONDS: Final = 900.0
_NEEDED: Final = ("pydantic", "orjson")
# In the order in which they are given up where they do not install beside the version's own pins.
_COMPILERS: Final = (("onnxruntime", "onnx", "skl2onnx", "treelite"), ("treelite",), ())
_SINGLE: Final = frozenset({"float", "float32"})


@dataclass(frozen=True, slots=True)
class Compiler:
    """Compiles versions where their own libraries are; `preparer` makes their environments."""

    preparer: Preparer

    def compile(self, model: MlModel, signature: Signature, rows: Rows, into: Path, tell: Tell) -> Proof:
        """Write the compiled form of a version, with its proof and its profile, into the folder `into/fairmind`.

        The model is loaded, compiled and compared in an environment of its own: what it answers there is what the
        compiled form has to answer.

        Args:
            model: The version's files.
            signature: What it takes in its runner.
            rows: To prove it on, beside those that are made from them to be difficult.
            into: An empty folder.
            tell: Hears what is being done.

        Raises:
            CompileError: It has no compiled form, or cannot have one.
            ParityError: No compiled form answers as it does.
            UntrustedModelError: It brings code, and its registry is not trusted.
            RunnerEnvironmentError: Its environment cannot be made.
        """
        _check(model, signature)
        specification = self._specification(model, tell)
        tell(f"it is compiled and compared on {rows.count:,} rows")
        folder = into / FAIRMIND_FOLDER
        proof = _run("compile", specification, signature, rows, folder)
        _keep_contract(folder, signature)
        write_profile(rows, folder)
        return proof

    def verify(self, model: MlModel, folder: Path, signature: Signature, rows: Rows, tell: Tell) -> Proof:
        """Return a new proof of the compiled form in `folder/fairmind` against the version's own model.

        Raises:
            ParityError: It does not answer as the model does.
            RuntimeLoadError: What is stored cannot be loaded.
            CompileError, UntrustedModelError, RunnerEnvironmentError: As for `compile`.
        """
        specification = self._specification(model, tell)
        tell(f"it is compared on {rows.count:,} rows")
        return _run("verify", specification, signature, rows, folder)

    def _specification(self, model: MlModel, tell: Tell) -> RunnerSpecification:
        """Return how the model is run in an environment that holds the compiler beside its own libraries."""
        own = {line.split("==")[0].strip().lower() for line in self.preparer.requirements(model)}
        refused: RunnerEnvironmentError | None = None
        for compilers in _COMPILERS:
            extra = tuple(f"{name}{_pin(name)}" for name in (*_NEEDED, *compilers) if name not in own)
            try:
                return self.preparer.specify(model, tell, extra=extra)
            except RunnerEnvironmentError as error:
                refused = refused or error
        raise refused or RunnerEnvironmentError("no environment was tried")


def load_data(model: MlModel) -> Any | None:
    """Return the version's model where it is data that these very libraries wrote; None where it is anything else.

    Raises:
        UntrustedModelError: The file holds other types than it says.
    """
    ours = f"scikit-learn=={importlib.metadata.version('scikit-learn')}"
    if model.serialization != "skops" or model.code() or ours not in model.requirements or model.data is None:
        return None
    import skops.io

    path = model.folder / model.data
    others = sorted(set(skops.io.get_untrusted_types(file=path)) - HARMLESS_TYPES)
    if others:
        raise UntrustedModelError([f"the type {others[0]}"], "of any address")
    return skops.io.load(path, trusted=sorted(HARMLESS_TYPES))


def _check(model: MlModel, signature: Signature) -> None:
    if model.flavour != "sklearn":
        raise CompileError(f"the flavour {model.flavour}", "only scikit-learn, XGBoost and LightGBM are compiled")
    taken = sorted(_STAGED.keys() & model.top_level_names())
    if taken:
        raise CompileError("its code", f"it has a package called '{taken[0]}', as the compiler has")
    for spec in model.inputs or ():
        inner = spec.get("tensor-spec")
        kind = inner.get("dtype") if isinstance(inner, dict) else spec.get("type")
        if kind in _SINGLE:
            # A request's number is rounded to float32 before such a model sees it; compiled forms do not round.
            raise CompileError(f"column '{spec.get('name') or 0}'", "it takes numbers of 32 bits")


def _pin(name: str) -> str:
    """Return the release of a library of the compiler that this program was tested with, as a requirement's end."""
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
    return f"=={version}" if name in {"treelite", "pydantic", "orjson"} else ""


def _run(
    what: Literal["compile", "verify"],
    specification: RunnerSpecification,
    signature: Signature,
    rows: Rows,
    folder: Path,
) -> Proof:
    with tempfile.TemporaryDirectory(prefix="fairmind-compile-") as temporary:
        staging = Path(temporary) / "staging"
        staging.mkdir()
        for name, package in _STAGED.items():
            (staging / name).symlink_to(package)
        job, result = Path(temporary) / "job.json", Path(temporary) / "result.json"
        job.write_text(
            json.dumps(
                {
                    "what": what,
                    "parent": os.getpid(),
                    "specification": specification.model_dump(mode="json"),
                    "staging": str(staging),
                    "columns": _sent(signature, rows),
                    "rows": rows.count,
                    "folder": str(folder),
                    "result": str(result),
                }
            ),
            encoding="utf-8",
        )
        ended = _call([str(specification.python), "-I", "-B", str(_CHILD), str(job)], temporary)
        try:
            told = json.loads(result.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CompileError("the model", f"the process that compiles it {ended}") from error
    if "error" in told:
        raise _error(told)
    return Proof.model_validate(told["proof"])


def _sent(signature: Signature, rows: Rows) -> Mapping[str, list[Any]]:
    types = {column.name: column.type for column in signature.columns}
    return {name: [_sendable(value, types[name]) for value in values] for name, values in rows.columns.items()}


def _sendable(value: Any, kind: ColumnType) -> Any:
    if value is None and kind is ColumnType.DOUBLE:
        return math.nan
    # Where nobody said that a column is of integers, that these rows have no fractions says nothing of others.
    return float(value) if kind is ColumnType.ANY and type(value) is int else value


def _call(command: list[str], folder: str) -> str:
    """Run the command to its end, or to the end of its time; return how it ended."""
    process = subprocess.Popen(  # noqa: S603  (an interpreter and paths of our own making)
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env=child_environment(),
        start_new_session=True,
    )
    try:
        return f"ended with status {process.wait(_SECONDS)}"
    except subprocess.TimeoutExpired:
        return f"took longer than {_SECONDS:.0f} s"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _error(told: Mapping[str, Any]) -> InferenceError:
    kind, message = told["error"], str(told["message"])
    if kind == "ParityError":
        return ParityError(**told["facts"])
    if kind == "RuntimeLoadError":
        return RuntimeLoadError("the compiled form", message)
    if kind == "CompileError":
        return CompileError(str(told["facts"]["part"]), str(told["facts"]["reason"]))
    return CompileError("the model", f"{kind}: {message}")


def _keep_contract(folder: Path, signature: Signature) -> None:
    """Let the compiled form take what the runner took: the same columns, and those that may be left out."""
    path = folder / "signature.json"
    compiled = Signature.model_validate_json(path.read_bytes())
    before = {column.name: column for column in signature.columns}
    if set(before) != {column.name for column in compiled.columns}:
        raise CompileError("its signature", "it names columns that the model was not fitted on")
    for column in compiled.columns:
        if before[column.name].optional and not column.nullable:
            raise CompileError(
                f"column '{column.name}'", "it may be left out, and the model has no answer for that"
            )
    by_name = {column.name: column for column in compiled.columns}
    columns = tuple(
        by_name[column.name].model_copy(update={"optional": column.optional}) for column in signature.columns
    )
    kept = compiled.model_copy(update={"columns": columns, "matrix": signature.matrix})
    path.write_text(kept.model_dump_json(indent=1), encoding="utf-8")
