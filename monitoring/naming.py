"""What outcomes and attributes call the prediction they are about."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Name = tuple[str | None, str]
"""A prediction as it is called: (None, prediction id) or (model, the caller's id)."""

Text = Annotated[str, Field(max_length=200)]
PredictionId = Annotated[str, Field(max_length=80)]


def is_storable(text: str) -> bool:
    """Return whether every database takes the text: PostgreSQL no U+0000, nobody half of a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
