"""From a trained model to a registered version: all its files and facts first, the version last."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from sklearn.pipeline import Pipeline

from inference.parity import Proof
from registry.gate_record import GATES_TAG, GateRecord, GateResult
from registry.reference import Reference
from registry.versions import DIGEST_TAG
from training.artifact import bind_gates, write_model
from training.errors import TrackingError
from training.features import Features
from training.store import Run
from training.vendor import vendor_calls


@dataclass(frozen=True, slots=True)
class Candidate:
    """A fitted model with everything that its version is registered with.

    `rows` are feature rows to prove the compiled form on, `trusted` the types its stored form may hold, `tags`
    facts that are looked up by those who only have the version.
    """

    name: str
    pipeline: Pipeline
    features: Features
    rows: pd.DataFrame
    trusted: list[str]
    gates: tuple[GateResult, ...]
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Registered:
    """A registered version, with its gate record and the proof of its compiled form."""

    reference: Reference
    gates: GateRecord
    proof: Proof


def register(run: Run, candidate: Candidate) -> Registered:
    """Store and register a candidate as the newest version of its model.

    The version is made by the last call, with its tags: a training that breaks off leaves none behind.

    Raises:
        NotServableError: the model cannot be stored or compiled, or the compiled form answers otherwise.
        TrackingError: the store refuses or cannot be reached.
    """
    from mlflow.entities import LoggedModelOutput

    client = run.client
    with vendor_calls(run.address):
        logged = client.create_logged_model(run.experiment_id, name=candidate.name, source_run_id=run.run_id)
    try:
        with tempfile.TemporaryDirectory(prefix="fairmind-model-") as temporary:
            folder = Path(temporary) / "model"
            record, proof = _write(folder, candidate, run, logged.model_id, logged.artifact_location)
            with vendor_calls(run.address):
                client.log_model_artifacts(logged.model_id, str(folder))
        with vendor_calls(run.address):
            client.finalize_logged_model(logged.model_id, "READY")
            client.log_outputs(run.run_id, [LoggedModelOutput(logged.model_id, step=0)])
    except BaseException:
        # The first error is the one to report, even when the store is what failed.
        with suppress(TrackingError), vendor_calls(run.address):
            client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    reference = _create_version(run, candidate, record, logged.model_id, logged.artifact_location)
    return Registered(reference, record, proof)


def _write(folder: Path, candidate: Candidate, run: Run, model_id: str, location: str) -> tuple[GateRecord, Proof]:
    from mlflow.models import Model

    entry = Model(artifact_path=location, run_id=run.run_id, model_uuid=model_id, model_id=model_id)
    _, proof = write_model(
        folder,
        candidate.pipeline,
        entry=entry,
        features=candidate.features,
        rows=candidate.rows,
        trusted=candidate.trusted,
    )
    return bind_gates(folder, candidate.gates), proof


def _create_version(run: Run, candidate: Candidate, record: GateRecord, model_id: str, source: str) -> Reference:
    tags = {**candidate.tags, DIGEST_TAG: record.digest, GATES_TAG: record.to_json()}
    client = run.client
    with vendor_calls(run.address):
        _ensure_model(run, candidate.name)
        # The place of the files, not `models:/<id>`: that one is looked up in MLflow's global store.
        version = client.create_model_version(
            candidate.name, source=source, run_id=run.run_id, tags=tags, model_id=model_id
        )
        reference = Reference(candidate.name, version=str(version.version))
        # MLflow's pages find the way from a logged model to its versions by this tag.
        shown = json.dumps([{"name": candidate.name, "version": version.version}])
        with suppress(TrackingError), vendor_calls(run.address):
            client.set_logged_model_tags(model_id, {"mlflow.modelVersions": shown})
    return reference


def _ensure_model(run: Run, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        run.client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
