"""What serves, as a value, as a database row, and as the file that workers follow."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict

from registry.reference import CHAMPION
from rollout.assignment import ALL_BP, CHALLENGERS


class VariantShare(NamedTuple):
    """A variant, the version that serves it, and its share of the units."""

    variant: str
    version: str
    share: float


class ServedVersion(BaseModel):
    """A model version that is to be loaded.

    `folder` is where its files lie, None while they are being fetched; `problem` is why they cannot be.
    """

    model_config = ConfigDict(frozen=True)

    version: str
    digest: str | None
    folder: str | None = None
    problem: str | None = None


class WeightedVersion(ServedVersion):
    """A further challenger, with its share of the units in basis points."""

    weight_bp: int = 0


class ServingState(BaseModel):
    """What one model serves with.

    `epoch` grows with every change and is stamped on every prediction. `weight_bp` is the share of units, in basis
    points, that the challenger is assigned; `salt` makes the assignment of one rollout independent of another's.
    `others` are the challengers after the first. `shadow_bp` is the share of requests that the challenger scores
    beside the champion, for nobody. With `holdback_bp`, that of a soak, the challenger serves all units but those.
    `on_missing_key` says who answers rows without a unit.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    epoch: int
    champion: ServedVersion
    challenger: ServedVersion | None = None
    weight_bp: int = 0
    salt: str
    rollout_id: str | None = None
    others: tuple[WeightedVersion, ...] = ()
    shadow_bp: int = 0
    holdback_bp: int | None = None
    on_missing_key: Literal["champion", "request"] = "champion"

    def versions(self) -> tuple[ServedVersion, ...]:
        """Return the versions that are to be loaded."""
        if self.challenger is None:
            return (self.champion,)
        return (self.champion, self.challenger, *self.others)

    def shares(self) -> list[VariantShare]:
        """Return what each variant has of the units, the champion first; a soak's holdback is the champion's."""
        weights_bp = [self.weight_bp, *(one.weight_bp for one in self.others)]
        if self.holdback_bp is not None:
            weights_bp = [ALL_BP - self.holdback_bp]
        shared = [
            VariantShare(name.value, version.version, weight / ALL_BP)
            for name, version, weight in zip(CHALLENGERS, self.versions()[1:], weights_bp, strict=False)
        ]
        rest = (ALL_BP - sum(weights_bp)) / ALL_BP
        return [VariantShare(CHAMPION, self.champion.version, rest), *shared]


class ServingFile(BaseModel):
    """The content of the file that the Companion writes and workers follow.

    `problems` are of models that are wanted and that nothing is known of; those of versions are at the versions.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)  # it holds the salt of unit ids

    unit_salt: str
    models: Mapping[str, ServingState]
    problems: Mapping[str, str] = {}


def write_file(path: Path, content: ServingFile) -> None:
    """Replace the file in one step; a reader sees the old content or the new, never a part."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_bytes(orjson.dumps(content.model_dump(mode="json")))
    temporary.replace(path)


def parse_file(content: bytes) -> ServingFile:
    """Return the file's content as a value.

    Raises:
        ValueError: It is damaged.
    """
    return ServingFile.model_validate_json(content)
