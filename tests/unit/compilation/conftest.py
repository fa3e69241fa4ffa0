"""Runtimes are measured briefly in all tests but those of the measuring itself, in `test_timing.py`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.timings import measured_briefly


@pytest.fixture(scope="session", autouse=True)
def _measured_briefly() -> Iterator[None]:
    with measured_briefly():
        yield
