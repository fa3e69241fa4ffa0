"""Which mitigation is asked for: method, attribute, and what is to be evened out."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator


class Method(StrEnum):
    """How a model is mitigated: before it is trained, while, or after."""

    REWEIGHING = "reweighing"
    THRESHOLD = "threshold"
    EXPONENTIATED_GRADIENT = "exponentiated-gradient"


class Constraint(StrEnum):
    """Which rates are to be the same in every group."""

    DEMOGRAPHIC_PARITY = "demographic_parity"
    EQUAL_OPPORTUNITY = "equal_opportunity"
    EQUALIZED_ODDS = "equalized_odds"


class Mitigation(BaseModel):
    """One mitigation, which makes a second version beside each unmitigated one."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    method: Method
    attribute: str | None = None
    """The protected attribute to mitigate for; None means the only one there is."""
    constraint: Constraint = Constraint.DEMOGRAPHIC_PARITY
    """What is to be the same in every group: selection, true positive, or true and false positive rates."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.method is Method.REWEIGHING and self.constraint is not Constraint.DEMOGRAPHIC_PARITY:
            raise ValueError(f"reweighing knows demographic_parity only, and not {self.constraint}")
        return self
