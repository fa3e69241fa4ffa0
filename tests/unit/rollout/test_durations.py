"""Lengths of time in a plan: written as people write them, kept as seconds."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from rollout.durations import Duration

LENGTH = TypeAdapter[timedelta](Duration)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90s", 90), ("10m", 600), ("1.5h", 5_400), ("7d", 604_800), ("7 d", 604_800), (30, 30), ("PT1M", 60)],
)
def test_a_length_is_read_as_it_is_written(written: Any, seconds: float) -> None:
    assert LENGTH.validate_python(written) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "wrong", ["ten minutes", "10 years", "-1s", "5", "", -1, "400d", None, float("nan"), "1e3s"]
)
def test_what_is_no_length_is_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        LENGTH.validate_python(wrong)


@given(st.integers(0, 366 * 86_400))
def test_what_is_written_to_json_is_read_back(seconds: int) -> None:
    length = timedelta(seconds=seconds)
    assert LENGTH.validate_json(LENGTH.dump_json(length)) == length
