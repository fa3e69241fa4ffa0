"""A time as callers write it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator


def _no_number(value: Any) -> Any:
    """Return what is no number, nor text that reads as one."""
    if isinstance(value, int | float) or (isinstance(value, str) and _reads_as_number(value)):
        raise ValueError("it must be a time with its zone, such as 2026-01-31T12:00:00Z")
    return value


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


Time = Annotated[AwareDatetime, BeforeValidator(_no_number)]
"""A time with its zone, in ISO 8601. By itself pydantic takes numbers too, which the OpenAPI document does not say,
and guesses by their size whether they are seconds or milliseconds."""
