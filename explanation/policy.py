"""How much an explanation may take."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ExplanationPolicy(BaseModel):
    """The bounds of explanations of single predictions."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    background_rows: int = Field(default=100, ge=1, le=1_000)
    """How many rows a prediction is compared with: drawn from the logged ones of its version, or from its reference
    profile where there are none."""

    exact_columns: int = Field(default=10, ge=1, le=14)
    """Up to so many columns that differ from the background, all their subsets are asked for; beyond, orders are
    drawn."""

    permutations: int = Field(default=10, ge=1, le=1_000)
    """How many orders of the columns are drawn, each asked for forth and back, where there are too many subsets."""

    seed: int = Field(default=0, ge=0, lt=2**32)
    """What the background and the orders are drawn with: the same seed gives the same explanation."""

    seconds: float = Field(default=20.0, gt=0, le=50)
    """Longest time one explanation may take."""
