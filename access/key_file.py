"""The file by which keys reach the workers, which know no database: hashes, never a secret."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import orjson
from pydantic import BaseModel, ConfigDict, Field

from access.scopes import Scope


class FiledKey(BaseModel):
    """A key that is not revoked, as workers need it; `expires_at` is in seconds since 1970."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)

    id: str = Field(min_length=1)
    hash: str = Field(pattern="^[0-9a-f]{64}$")
    scopes: tuple[Scope, ...]
    expires_at: float | None = None
    requests_per_second: float | None = Field(default=None, gt=0)


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    keys: tuple[FiledKey, ...]


def as_bytes(keys: Iterable[FiledKey]) -> bytes:
    """Return the file's content, the same for the same keys in whatever order."""
    ordered = sorted(keys, key=lambda key: key.id)
    return orjson.dumps({"keys": [key.model_dump(mode="json") for key in ordered]})


def parse_keys(content: bytes) -> tuple[FiledKey, ...]:
    """Return the keys in the file.

    Raises:
        ValueError: It is damaged.
    """
    return _File.model_validate_json(content).keys


def replace_file(path: Path, content: bytes) -> None:
    """Replace the file in one step, readable by its owner only; a reader sees the old content or the new."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)
