"""From a folder of files to a registered version: files and facts first, the version last."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from registry.gate_record import GATES_TAG, GateRecord
from registry.reference import Reference
from registry.versions import DIGEST_TAG
from training.errors import TrackingError
from training.store import Run
from training.vendor import vendor_calls

if TYPE_CHECKING:
    from mlflow.models import Model


@dataclass(frozen=True, slots=True)
class VersionFiles:
    """The files of a version to be: written into `folder`, described by `entry`, kept at `source`."""

    run: Run
    name: str
    folder: Path
    entry: Model
    source: str

    def register(self, record: GateRecord, tags: Mapping[str, str]) -> Reference:
        """Register the files, once they are stored, as the newest version of their model; all its tags at once.

        Raises:
            TrackingError: the store refuses or cannot be reached.
        """
        client, model_id = self.run.client, self.entry.model_id
        own = {DIGEST_TAG: record.digest, GATES_TAG: record.to_json()}
        with vendor_calls(self.run.address):
            _ensure_model(self.run, self.name)
            # The place of the files, not `models:/<id>`: that one is looked up in MLflow's global store.
            version = client.create_model_version(
                self.name, source=self.source, run_id=self.run.run_id, tags={**tags, **own}, model_id=model_id
            )
            reference = Reference(self.name, version=str(version.version))
            # MLflow's pages find the way from a logged model to its versions by this tag.
            shown = json.dumps([{"name": self.name, "version": version.version}])
            with suppress(TrackingError), vendor_calls(self.run.address):
                client.set_logged_model_tags(model_id, {"mlflow.modelVersions": shown})
        return reference


@contextmanager
def version_files(run: Run, name: str) -> Iterator[VersionFiles]:
    """Store what the body writes into the folder, which it makes, as a logged model of the run.

    When the body raises, nothing is stored and the logged model is marked as failed.

    Raises:
        TrackingError: the store refuses or cannot be reached.
    """
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    client = run.client
    with vendor_calls(run.address):
        logged = client.create_logged_model(run.experiment_id, name=name, source_run_id=run.run_id)
    model_id, source = logged.model_id, logged.artifact_location
    entry = Model(artifact_path=source, run_id=run.run_id, model_uuid=model_id, model_id=model_id)
    try:
        with tempfile.TemporaryDirectory(prefix="fairmind-model-") as temporary:
            folder = Path(temporary) / "model"
            yield VersionFiles(run, name, folder, entry, source)
            with vendor_calls(run.address):
                client.log_model_artifacts(model_id, str(folder))
        with vendor_calls(run.address):
            client.finalize_logged_model(model_id, "READY")
            client.log_outputs(run.run_id, [LoggedModelOutput(model_id, step=0)])
    except BaseException:
        # The first error is the one to report, even when the store is what failed.
        with suppress(TrackingError), vendor_calls(run.address):
            client.finalize_logged_model(model_id, "FAILED")
        raise


def _ensure_model(run: Run, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        run.client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
