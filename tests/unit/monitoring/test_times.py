"""Times of callers: ISO 8601 with a zone, and no number that would be guessed at."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from monitoring.times import Time

TIME: TypeAdapter[datetime] = TypeAdapter(Time)


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_with_its_zone_is_read(time: datetime) -> None:
    assert TIME.validate_python(time.isoformat()) == TIME.validate_python(time) == time


@given(st.one_of(st.integers(), st.floats(), st.integers().map(str), st.floats().map(str), st.booleans()))
def test_a_number_is_no_time(number: Any) -> None:
    with pytest.raises(ValidationError, match="a time with its zone"):
        TIME.validate_python(number)


def test_a_time_without_a_zone_is_none() -> None:
    with pytest.raises(ValidationError):
        TIME.validate_python("2026-01-31T12:00:00")


def test_the_document_says_the_same_of_it_as_of_any_time() -> None:
    assert TIME.json_schema() == {"type": "string", "format": "date-time"}
