"""The folder of a model version: the registered model, its compiled form, and the proof that they are the same."""

from __future__ import annotations

import importlib.metadata
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import skops.io
from sklearn.pipeline import Pipeline

from compilation.candidates import candidates
from compilation.compile import CompiledModel
from compilation.parity import Proof
from compilation.selection import select_runtimes
from inference.errors import CompileError, ParityError
from inference.signature import Signature, Task
from registry.digest import digest_folder
from registry.gate_record import GateRecord, GateResult
from training.errors import NotServableError
from training.features import Features, Role

if TYPE_CHECKING:
    from mlflow.models import Model

FAIRMIND_FOLDER = "fairmind"
MODEL_FILE = "model.skops"
GATES_FILE = "gates.json"
# What the stored model needs to run; said outright, because MLflow finds out by loading the model in a new process.
_REQUIREMENTS = ("scikit-learn", "skops", "numpy", "scipy", "pandas")
_OUTPUT_TYPES = {bool: "boolean", int: "long", float: "double", str: "string"}


def write_model(
    folder: Path, pipeline: Pipeline, *, entry: Model, features: Features, rows: pd.DataFrame, trusted: list[str]
) -> tuple[CompiledModel, Proof]:
    """Write a fitted pipeline and its compiled form as an MLflow model into `folder`, which is made.

    Every candidate for its compiled form is compared with the model as it was stored and loaded again, which is
    what is registered, not with the one in memory; the quickest of those that are equal are kept.

    Args:
        folder: Where to write; must not exist.
        pipeline: The fitted pipeline; library classes only.
        entry: MLflow's description of the model, which names its run.
        features: What the columns are.
        rows: Feature rows to prove it on.
        trusted: The types, beyond those that skops trusts, that the stored model may hold.

    Raises:
        NotServableError: the model cannot be stored without a pickle, has no compiled form, or the compiled form
            does not answer as the model does.
    """
    name = str(pipeline.named_steps["model"].__class__.__name__)
    try:
        found = candidates(pipeline, rows)
        signature = next(candidate.compiled.signature for candidate in found if candidate.compiled is not None)
        _save(folder, pipeline, entry, signature, example=input_example(rows, features), trusted=trusted)
        selected = select_runtimes(found, load_stored(folder, trusted), rows)
    except (CompileError, ParityError) as error:
        raise NotServableError(name, str(error)) from error
    selected.compiled.save(folder / FAIRMIND_FOLDER)
    selected.proof.save(folder / FAIRMIND_FOLDER)
    return selected.compiled, selected.proof


def bind_gates(
    folder: Path, results: tuple[GateResult, ...], bias_policy: Mapping[str, Any] | None = None
) -> GateRecord:
    """Return the gates' results, and the policy of the bias gates, bound to the digest of the finished `folder`.

    They are added to it.
    """
    policy = None if bias_policy is None else dict(bias_policy)
    record = GateRecord(digest=digest_folder(folder), results=results, bias_policy=policy)
    (folder / FAIRMIND_FOLDER / GATES_FILE).write_text(record.to_json(), encoding="utf-8")
    return record


def load_stored(folder: Path, trusted: list[str]) -> Any:
    """Return the scikit-learn model stored in `folder`, loading no type but skops' own and `trusted`.

    Raises:
        NotServableError: it holds another type, which is named.
    """
    path = folder / MODEL_FILE
    others = sorted(set(skops.io.get_untrusted_types(file=path)) - set(trusted))
    if others:
        raise NotServableError(
            path.name, f"it holds the type {others[0]}, which is not on the list of trusted ones"
        )
    return skops.io.load(path, trusted=trusted)


def input_example(rows: pd.DataFrame, features: Features) -> pd.DataFrame:
    """Return one typical row: medians and most frequent values. No person's own row leaves the data."""
    typical: dict[str, list[Any]] = {}
    for name, role in features.roles.items():
        column = rows[name]
        known = column.dropna()
        if known.empty:
            known = pd.Series(features.known.get(name, (0.0,))[:1])
        typical[name] = [float(known.median()) if role is Role.NUMBER else known.mode().iloc[0]]
    return pd.DataFrame(typical).astype({name: rows[name].dtype for name in features.roles})


def _save(
    folder: Path,
    pipeline: Pipeline,
    entry: Model,
    signature: Signature,
    *,
    example: pd.DataFrame,
    trusted: list[str],
) -> None:
    import mlflow.sklearn
    from mlflow.exceptions import MlflowException

    try:
        # The warnings are MLflow's about itself.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mlflow.sklearn.save_model(
                pipeline,
                folder,
                mlflow_model=entry,
                signature=_mlflow_signature(signature),
                input_example=example,
                serialization_format="skops",
                skops_trusted_types=trusted,
                pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in _REQUIREMENTS],
            )
    except MlflowException as error:
        raise NotServableError(type(pipeline).__name__, str(error).splitlines()[0]) from error


def _mlflow_signature(signature: Signature) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    # A column that may be missing in a row must still be sent: the pipeline knows gaps, not absent columns.
    inputs = [ColSpec(column.type.value, column.name) for column in signature.columns]
    answer = "double" if signature.task is Task.REGRESSION else _OUTPUT_TYPES[type(signature.classes[0])]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema([ColSpec(answer)]))
