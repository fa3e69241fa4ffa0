"""How a bias test is measured and judged, whatever its rows are."""

from __future__ import annotations

from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fairness.gate import BiasPolicy

Label = bool | int | Annotated[float, Field(allow_inf_nan=False)] | str
"""A class label or the value of a protected attribute."""

_MOST_INTERSECTIONS: Final = 20
_FEWEST_TOGETHER: Final = 2


class MeasuringOptions(BaseModel):
    """What every bias test may be asked with, beside its rows; the metrics are those of docs/fairness.md."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    policy: BiasPolicy | None = None
    """The tolerances to judge by; left out, the default ones for every metric that can be measured."""
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """The chance to be wrong that each verdict may have."""
    minimum_rows: int = Field(default=30, ge=1)
    """Rates that rest on fewer rows are shown and not compared."""
    intersections: tuple[tuple[str, ...], ...] = Field(default=(), max_length=_MOST_INTERSECTIONS)
    """Attributes to take together as well, two or more each; a tolerance names them `SEX × RAC1P`."""
    edges: dict[str, tuple[Annotated[float, Field(allow_inf_nan=False)], ...]] = {}
    """Where a measurement is cut into groups, by attribute: [25, 40] makes "< 25", "25 to < 40" and "≥ 40"."""
    references: dict[str, str] = {}
    """The group that others are set beside, by attribute; the largest one where none is named."""
    fairlearn_compat: bool = False
    """Whether to put Fairlearn's own answers, which take undefined rates for 0, beside ours."""

    @model_validator(mode="after")
    def _check_intersections(self) -> Self:
        for together in self.intersections:
            if len(set(together)) < max(_FEWEST_TOGETHER, len(together)):
                raise ValueError("an intersection takes two or more different attributes together")
        return self


class ModelOptions(MeasuringOptions):
    """What a test may be asked with whose rows have features, too: what the model makes of them."""

    flip: dict[str, tuple[Label, Label]] = {}
    """Attribute to two of its values: the rows are scored again with these exchanged, where it is a feature."""
    proxies: bool = False
    """Whether to measure how well the features tell each attribute."""

    @model_validator(mode="after")
    def _check_flip(self) -> Self:
        for attribute, (one, other) in self.flip.items():
            if one == other:
                raise ValueError(f"flip: the two values of '{attribute}' are the same")
        return self
