"""A registered model version, as the rest of the platform sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

DIGEST_TAG = "fairmind.digest"


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of one registered model.

    `source` is where its files are, in the registry's own words; `created_at` is aware, in UTC.
    """

    name: str
    version: str
    run_id: str | None
    source: str
    aliases: frozenset[str]
    tags: Mapping[str, str]
    created_at: datetime

    @property
    def digest(self) -> str | None:
        """The digest of the version's files as it was registered; None for a version that is not ours."""
        return self.tags.get(DIGEST_TAG)

    def __str__(self) -> str:
        return f"{self.name}/{self.version}"
