"""What counts as drift: how sure one must be, and how much must have changed."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class DriftVerdict(StrEnum):
    """What a comparison says; without enough rows it says so instead of a neutral number."""

    DRIFT = "drift"
    NO_DRIFT = "no_drift"
    INSUFFICIENT_EVIDENCE = "insufficient_evidence"


class DriftPolicy(BaseModel):
    """Drift is a change that chance does not explain and that is large enough to matter.

    A million rows make every change significant, and a hundred make any change look large: both are asked for.
    `no_drift` is claimed only where a change of the threshold's size would have shown.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    alpha: float = Field(default=0.05, gt=0, lt=1)
    """Level of the tests, after the correction for making many of them."""

    correction: Literal["benjamini_hochberg", "holm"] = "benjamini_hochberg"
    """How p-values of all checks of a report are corrected: benjamini_hochberg keeps the share of false alarms at
    alpha, holm the chance of any."""

    psi: float = Field(default=0.1, gt=0)
    """Population stability index from which a changed distribution matters, beyond what chance alone would show."""

    missing_change: float = Field(default=0.05, gt=0, lt=1)
    """Change of the share of missing values, as a difference, from which it matters."""

    unseen_share: float = Field(default=0.01, gt=0, lt=1)
    """Rise of the share of new categories, or of numbers outside the reference's range, from which it matters."""

    minimum_rows: int = Field(default=100, ge=1)
    """Rows with fewer of which, on either side, nothing is said."""
