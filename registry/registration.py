"""Files as a new version of a registered model; training, which has a run of its own, does not come here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

EXPERIMENT: Final = "fairmind"
"""The experiment that holds the files; the one that training logs to."""


def register_files(
    client: Any, name: str, folder: Path, tags: Mapping[str, str], *, artifact_root: Path | None
) -> str:
    """Store the files of `folder` and register them as the newest version of `name`; return its number.

    The version is made by the last call, with its tags: what breaks off leaves none behind.

    Args:
        client: MLflow's; its errors are the caller's to translate.
        name: The model, which is made where there is none.
        folder: An MLflow model folder.
        tags: Of the version.
        artifact_root: Where an embedded store keeps files; a server says that itself.
    """
    logged = client.create_logged_model(_experiment(client, artifact_root), name=name.replace(".", "-"))
    try:
        client.log_model_artifacts(logged.model_id, str(folder))
    except BaseException:
        client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    client.finalize_logged_model(logged.model_id, "READY")
    _ensure_model(client, name)
    # The place of the files, and not the model's id: that one is looked up in MLflow's global store.
    made = client.create_model_version(name, source=logged.artifact_location, tags=dict(tags))
    return str(made.version)


def _experiment(client: Any, artifact_root: Path | None) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        root = None if artifact_root is None else artifact_root.absolute().as_uri()
        try:
            return str(client.create_experiment(EXPERIMENT, artifact_location=root))
        except MlflowException:  # somebody made it between our look and our call
            found = client.get_experiment_by_name(EXPERIMENT)
            if found is None:
                raise
    return str(found.experiment_id)


def _ensure_model(client: Any, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
