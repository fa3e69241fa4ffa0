"""Rollout plans: what to compare, and how much traffic the challenger gets."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rollout.assignment import MAX_WEIGHT_BP
from rollout.errors import InvalidPlanError


class Step(BaseModel):
    """One share of traffic. `weight` is a fraction of the units, 0 to 0.5, resolved to basis points."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: float = Field(ge=0, le=MAX_WEIGHT_BP / 10_000)

    @property
    def weight_bp(self) -> int:
        """The weight in basis points."""
        return weight_to_bp(self.weight)


class Plan(BaseModel):
    """A manual split: one step, no guardrails; it never advances by itself.

    `challenger` is a version number; left out, it is the version with the alias `challenger`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    challenger: str | None = None
    steps: tuple[Step, ...] = Field(min_length=1, max_length=1)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a plan from YAML.

        Raises:
            InvalidPlanError: The file cannot be read or a key is wrong; says which.
        """
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InvalidPlanError(f"{path} cannot be read as YAML: {error}") from error
        return cls.parse(content, where=str(path))

    @classmethod
    def parse(cls, content: object, where: str = "plan") -> Self:
        """Check a plan's content.

        Raises:
            InvalidPlanError: A key is wrong; says which.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            key = ".".join(str(part) for part in first["loc"]) or "the whole"
            raise InvalidPlanError(f"{where}: {key}: {first['msg']}") from error


def weight_to_bp(weight: float) -> int:
    """Return a fraction as basis points.

    Raises:
        InvalidPlanError: It lies outside 0 to 0.5.
    """
    bp = round(weight * 10_000) if 0 <= weight <= 1 else -1  # neither NaN nor what would overflow
    if not 0 <= bp <= MAX_WEIGHT_BP:
        raise InvalidPlanError(
            f"weight {weight:g} is outside 0 to {MAX_WEIGHT_BP / 10_000:g} (a fraction; above one half no control "
            "cohort of equal size exists: promote instead)"
        )
    return bp
