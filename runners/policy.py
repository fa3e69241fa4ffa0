"""How long a model's process may take, and how much it may say."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class RunnerPolicy(BaseModel):
    """The bounds of models that run in a process of their own."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    start_seconds: float = Field(default=120.0, gt=0)
    """Longest time a model's process may take to start and to load its model."""

    call_seconds: float = Field(default=30.0, gt=0)
    """Longest time one call of such a model may take; then its process is ended and started again."""

    max_answer_bytes: int = Field(default=256_000_000, ge=1_000_000)
    """Largest answer that is read from such a model; a larger one ends its process."""

    memory_bytes: int | None = Field(default=None, ge=64_000_000)
    """Most memory that such a model may allocate, beside the libraries it maps; a call that needs more fails.
    Unset: as much as there is."""
