"""The files of a remote variant's version: an MLflow model folder that holds a description and no model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from inference.loading import DECISION_FILE, REMOTE_FILE, SIGNATURE_FILE
from inference.signature import ColumnType, Signature
from remotes.definition import FAIRMIND_FOLDER, RemoteModel

FLAVOUR: Final = "fairmind_remote"
_MLFLOW_TYPES: Final[Mapping[ColumnType, str]] = {
    ColumnType.DOUBLE: "double",
    ColumnType.LONG: "long",
    ColumnType.BOOLEAN: "boolean",
    ColumnType.STRING: "string",
    ColumnType.ANY: "any",
}


def write_remote(folder: Path, model: RemoteModel) -> None:
    """Write the version's files into `folder`, which is made."""
    own = folder / FAIRMIND_FOLDER
    own.mkdir(parents=True)
    definition = model.definition
    flavour = {"url": definition.url, "protocol": str(definition.protocol), "model": definition.model}
    described = {"flavors": {FLAVOUR: flavour}, "signature": _mlflow_signature(model.signature)}
    (folder / "MLmodel").write_text(yaml.safe_dump(described, sort_keys=True), encoding="utf-8")
    (own / REMOTE_FILE).write_text(definition.model_dump_json(indent=1), encoding="utf-8")
    (own / SIGNATURE_FILE).write_text(model.signature.model_dump_json(indent=1), encoding="utf-8")
    (own / DECISION_FILE).write_text(model.decision.model_dump_json(), encoding="utf-8")


def _mlflow_signature(signature: Signature) -> dict[str, Any]:
    inputs = [
        {"type": _MLFLOW_TYPES[column.type], "name": column.name, "required": not column.optional}
        for column in signature.columns
    ]
    return {"inputs": json.dumps(inputs), "outputs": None, "params": None}
