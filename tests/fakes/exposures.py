"""Rows of one request that are compared, as a worker logs them, and what a line says of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitoring.exposure_records import PROTECTED, ExposedRow
from monitoring.tables import EXPOSURE


@dataclass(frozen=True)
class Exposing:
    """Rows of one variant before their model runs, or with a `status` that says why they get no answer."""

    request_id: str
    served_at: float
    model: str
    model_version: str
    variant: str | None
    epoch: int
    rollout_id: str | None
    positions: Sequence[int]
    unit_hashes: Sequence[str | None]
    cohorts: Sequence[str]
    protected: Sequence[Mapping[str, str | None] | None] | None
    status: str | None = None
    latency_us: int | None = None

    def rows(self) -> list[ExposedRow]:
        """Return them as the segment takes them."""
        return [
            (
                f"{self.request_id}-{position}",
                self.rollout_id,
                self.epoch,
                cohort,
                self.variant,
                self.model,
                self.model_version,
                unit,
                self.served_at,
                self.status,
                self.latency_us,
                self.protected and self.protected[place],
            )
            for place, (position, unit, cohort) in enumerate(
                zip(self.positions, self.unit_hashes, self.cohorts, strict=True)
            )
        ]


def exposures(line: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a line by the table's names, with their protected attributes."""
    assert line["kind"] == "exposure"
    return [dict(zip(EXPOSURE.c.keys(), row, strict=False)) | {"protected": row[PROTECTED]} for row in line["rows"]]
