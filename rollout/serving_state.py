"""What serves, as a value, as a database row, and as the file that workers follow."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import orjson
from pydantic import BaseModel, ConfigDict


class ServedVersion(BaseModel):
    """A model version that is to be loaded; `folder` is where its runtime lies, None while it is being fetched."""

    model_config = ConfigDict(frozen=True)

    version: str
    digest: str | None
    folder: str | None = None


class ServingState(BaseModel):
    """What one model serves with.

    `epoch` grows with every change and is stamped on every prediction. `weight_bp` is the share of units, in basis
    points, that the challenger is assigned; `salt` makes the assignment of one rollout independent of another's.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    epoch: int
    champion: ServedVersion
    challenger: ServedVersion | None = None
    weight_bp: int = 0
    salt: str
    rollout_id: str | None = None


class ServingFile(BaseModel):
    """The content of the file that the Companion writes and workers follow."""

    model_config = ConfigDict(frozen=True)

    unit_salt: str
    models: Mapping[str, ServingState]


def write_file(path: Path, content: ServingFile) -> None:
    """Replace the file in one step; a reader sees the old content or the new, never a part."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_bytes(orjson.dumps(content.model_dump(mode="json")))
    temporary.replace(path)


def read_file(path: Path) -> ServingFile:
    """Return the file's content.

    Raises:
        FileNotFoundError: The Companion has not written it yet.
        ValueError: It is damaged.
    """
    return ServingFile.model_validate_json(path.read_bytes())
