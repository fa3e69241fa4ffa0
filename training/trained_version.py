"""A version that was trained and registered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compilation.parity import Proof
from registry.gate_record import GateRecord
from registry.reference import Reference
from training.before_after import BeforeAfter


@dataclass(frozen=True, slots=True)
class TrainedVersion:
    """A version that was trained and registered; `seconds` is the time it took, registration included.

    `mitigation` says, of a mitigated version, how it differs from the one it is the mitigation of.
    """

    name: str
    version: str
    estimator: str
    reference: Reference
    metrics: Mapping[str, float]
    gates: GateRecord
    proof: Proof
    run_id: str
    seconds: float
    notes: tuple[str, ...]
    mitigation: BeforeAfter | None = None

    def as_json(self) -> dict[str, Any]:
        """Return what a program that called the command wants to know, as plain values."""
        return {
            "name": self.name,
            "version": self.version,
            "reference": str(self.reference),
            "estimator": self.estimator,
            "run_id": self.run_id,
            "metrics": dict(self.metrics),
            "gates": [result.model_dump(mode="json") for result in self.gates.results],
            "refused_by": [result.describe() for result in self.gates.refusing()],
            "digest": self.gates.digest,
            "seconds": round(self.seconds, 3),
            "notes": list(self.notes),
            "mitigation": self.mitigation.model_dump(mode="json") if self.mitigation else None,
        }
