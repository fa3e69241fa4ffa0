"""What the gates said about a model version, bound to the files they said it about."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from registry.errors import GateRecordError
from registry.versions import ModelVersion

GATES_TAG = "fairmind.gates"


class GateKind(StrEnum):
    """What a gate looks at."""

    QUALITY = "quality"
    BIAS = "bias"


class GateVerdict(StrEnum):
    """What a gate says. Too few rows to tell is never a pass."""

    PASS = "pass"  # noqa: S105 (a verdict, no password)
    FAIL = "fail"
    INSUFFICIENT_EVIDENCE = "insufficient_evidence"


class GateResult(BaseModel):
    """One condition on one version.

    `value` is None where it could not be computed. `gating` False means measured and shown, never refusing.
    `required` True means that insufficient evidence refuses too. `test_id` names the bias test that measured it,
    None for a gate of training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: GateKind
    metric: str
    attribute: str | None = None
    value: float | None = None
    limit: float
    verdict: GateVerdict
    required: bool = False
    gating: bool = True
    message: str = ""
    test_id: str | None = None

    @property
    def refuses(self) -> bool:
        """Whether this result alone stands in the way of a promotion."""
        if not self.gating:
            return False
        if self.verdict is GateVerdict.FAIL:
            return True
        return self.required and self.verdict is GateVerdict.INSUFFICIENT_EVIDENCE

    def describe(self) -> str:
        """Return one line: which gate, what it measured, what it allows and by how much that was missed."""
        where = f" on {self.attribute}" if self.attribute else ""
        head = f"{self.kind} gate {self.metric}{where}"
        if self.verdict is GateVerdict.INSUFFICIENT_EVIDENCE or self.value is None:
            return f"{head}: not enough evidence ({self.message or f'limit {self.limit:g}'})"
        off = abs(self.value - self.limit)
        return f"{head} is {self.value:.4f}, the limit is {self.limit:g} (off by {off:.4f})"


class GateRecord(BaseModel):
    """All results of one version, with the digest of the files they were measured on.

    `bias_policy` is the policy (`fairness.gate.BiasPolicy`) that the bias gates were last measured by.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str
    results: tuple[GateResult, ...] = ()
    bias_policy: dict[str, Any] | None = None

    def refusing(self) -> tuple[GateResult, ...]:
        """Return the results that stand in the way of a promotion; empty means the version may be promoted."""
        return tuple(result for result in self.results if result.refuses)

    def undecided(self) -> tuple[GateResult, ...]:
        """Return the results for which evidence lacked and that refuse nothing: to be shown with a promotion."""
        lacking = (one for one in self.results if one.verdict is GateVerdict.INSUFFICIENT_EVIDENCE)
        return tuple(result for result in lacking if result.gating and not result.refuses)

    def to_json(self) -> str:
        """Return the record as the text that is kept in the version's tag and in its files."""
        return self.model_dump_json()

    @classmethod
    def from_version(cls, version: ModelVersion) -> Self | None:
        """Return the record in the version's tags; None when it has none.

        Raises:
            GateRecordError: There is a record, and it cannot be read.
        """
        text = version.tags.get(GATES_TAG)
        if text is None:
            return None
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise GateRecordError(str(version), "its gate record cannot be read") from error
