"""Lengths of time as people write them in a plan: `90s`, `10m`, `2h`, `7d`, or a number of seconds."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, PlainSerializer

_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_WRITTEN: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])", re.ASCII)
_LONGEST: Final = timedelta(days=366)


def parse_duration(value: Any) -> Any:
    """Return a written length as a number of seconds; whatever else it is, pydantic says what is wrong with it."""
    found = _WRITTEN.fullmatch(value.strip()) if isinstance(value, str) else None
    return value if found is None else float(found[1]) * _UNITS[found[2]]


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(timedelta.total_seconds, return_type=float, when_used="json"),
    Field(ge=timedelta(0), le=_LONGEST),
]
"""A length of time in a plan, at most a year; seconds in JSON."""
